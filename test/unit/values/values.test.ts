import { assertSignal } from '../../../src/base/signal.ts'
import { parseByteSize } from '../../../src/values/byte-size.ts'
import { parseExtraHost } from '../../../src/values/extra-host.ts'
import { parseExposedPorts } from '../../../src/values/ports.ts'
import { parseUlimit } from '../../../src/values/ulimit.ts'

describe('W11 ports', () => {
  test.each([
    [['80'], ['80/tcp']],
    [['80/'], ['80/tcp']],
    [
      ['53/UDP', '53/tcp'],
      ['53/udp', '53/tcp'],
    ],
    [['8000-8002/sctp'], ['8000/sctp', '8001/sctp', '8002/sctp']],
    [
      ['1.2.3.4:5:6', '[::1]:7:8', ':9', '::10'],
      ['6/tcp', '8/tcp', '9/tcp', '10/tcp'],
    ],
    [['7-8:9'], ['9/tcp']],
    [
      ['0', '65535', '00080'],
      ['0/tcp', '65535/tcp', '80/tcp'],
    ],
    [[], []],
  ])('%j names %j', (words, ports) => expect(parseExposedPorts(words)).toEqual(ports))

  test.each([
    ['80/foo', 'invalid port: "80/foo": invalid proto: foo'],
    ['80/tcp/udp', 'invalid port: "80/tcp/udp": invalid proto: tcp/udp'],
    ['65536', 'invalid containerPort: 65536'],
    ['5-3', 'invalid containerPort: 5-3'],
    ['8a', 'invalid containerPort: 8a'],
    ['1-2-3', 'invalid containerPort: 1-2-3'],
    ['80:', 'invalid port: "80:": no port specified'],
    ['/tcp', 'invalid port: "/tcp": no port specified'],
    ['a:80', 'invalid hostPort: a'],
    ['1-2:3-5', 'invalid ranges specified for container and host Ports: 3-5 and 1-2'],
    ['1.2.3:1:2', 'invalid IP address: 1.2.3'],
    ['fe80::1%eth0:1:2', 'invalid IP address: fe80::1%eth0'],
  ])('%s is refused', (word, message) => {
    expect(() => parseExposedPorts([word])).toThrow(expect.objectContaining({ code: 'EXPOSE_INVALID', message }))
  })
})

describe('W13 stop signals', () => {
  test.each(['SIGTERM', 'term', 'SigKill', '15', '-1', '9999', 'RTMIN', 'RTMIN+3', 'SIGRTMAX-14', 'RTMIN+15'])('%s', (text) => {
    expect(() => assertSignal(text)).not.toThrow()
  })

  test.each(['0', '', 'SIGFOO', 'SIGSIGTERM', 'RTMAX-15', 'RTMIN+0', 'RTMIN+16', '1_0', '1.5', 'constructor'])('%j is refused', (text) => {
    expect(() => assertSignal(text)).toThrow(expect.objectContaining({ code: 'SIGNAL_INVALID', message: `invalid signal: ${text}` }))
  })
})

describe('--ulimit', () => {
  test.each([
    ['nofile=1024', { name: 'nofile', soft: 1024, hard: 1024 }],
    ['nofile=1024:2048', { name: 'nofile', soft: 1024, hard: 2048 }],
    ['core=0:-1', { name: 'core', soft: 0, hard: -1 }],
    ['core=infinity', { name: 'core', soft: -1, hard: -1 }],
  ])('%s', (text, limit) => expect(parseUlimit(text)).toEqual(limit))

  test.each(['nofile', 'as=1', 'nofile=', 'nofile=1:2:3', 'nofile=3:2', 'nofile=-1:5', 'nofile=x', 'nofile=-2', '=1'])(
    '%j is refused',
    (text) => {
      expect(() => parseUlimit(text)).toThrow(expect.objectContaining({ code: 'ULIMIT_INVALID' }))
    },
  )
})

describe('--add-host', () => {
  test.each([
    ['db:10.0.0.2', { host: 'db', ip: '10.0.0.2' }],
    ['db=::1', { host: 'db', ip: '::1' }],
    ['db:[fe80::2]', { host: 'db', ip: 'fe80::2' }],
    ['gw:host-gateway', { host: 'gw', ip: 'host-gateway' }],
  ])('%s', (text, host) => expect(parseExtraHost(text)).toEqual(host))

  test.each(['db', ':1.2.3.4', 'db:', 'db:1.2.3', 'a b:1.2.3.4', 'a\n6.6.6.6 evil:1.2.3.4', 'a#:1.2.3.4'])('%j is refused', (text) => {
    expect(() => parseExtraHost(text)).toThrow(expect.objectContaining({ code: 'ADD_HOST_INVALID' }))
  })
})

describe('sizes', () => {
  test.each([
    ['0', 0],
    ['100b', 100],
    ['64m', 64 * 1024 ** 2],
    ['1.5G', 1.5 * 1024 ** 3],
    ['512 KiB', 512 * 1024],
    ['2tb', 2 * 1024 ** 4],
  ])('%s', (text, bytes) => expect(parseByteSize(text)).toBe(bytes))

  test.each(['', 'm', '-1', '1x', '1e3', '1  m', '9999999p', '1.2.3k'])('%j is refused', (text) => {
    expect(() => parseByteSize(text)).toThrow(expect.objectContaining({ code: 'SIZE_INVALID' }))
  })
})
