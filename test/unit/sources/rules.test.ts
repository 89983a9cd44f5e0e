import fc from 'fast-check'
import { sha256 } from '../../../src/base/digest.ts'
import { proxyFor } from '../../../src/http/proxy.ts'
import { parseImageDocument } from '../../../src/sources/image/document.ts'
import { rankByPlatform, runnablePlatforms } from '../../../src/sources/image/platform-choice.ts'
import { parseLayoutReference } from '../../../src/sources/layout/oci-layout.ts'
import { parseChallenges } from '../../../src/sources/registry/challenge.ts'
import { endpointOf, mirrorsOf, parseRegistriesConf } from '../../../src/sources/registry/registries-conf.ts'
import { formatPlatform, parsePlatform } from '../../../src/values/platform.ts'

describe('platform choice follows containerd', () => {
  test.each([
    ['linux/amd64', 'linux/amd64 linux/386'],
    ['linux/amd64/v3', 'linux/amd64/v3 linux/amd64/v2 linux/amd64 linux/386'],
    ['linux/arm/v7', 'linux/arm/v7 linux/arm/v6 linux/arm/v5'],
    ['linux/arm64', 'linux/arm64 linux/arm/v8 linux/arm/v7 linux/arm/v6 linux/arm/v5'],
    ['linux/arm64/v8.2', 'linux/arm64/v8.2 linux/arm64/v8.1 linux/arm64 linux/arm/v8 linux/arm/v7 linux/arm/v6 linux/arm/v5'],
    ['linux/s390x', 'linux/s390x'],
  ])('%s runs %s', (wanted, list) => {
    expect(runnablePlatforms(parsePlatform(wanted)).map(formatPlatform).join(' ')).toBe(list)
  })

  test('the best entry wins over the first; attestations never match', () => {
    const entry = (architecture: string, os = 'linux', variant?: string) => ({
      mediaType: '',
      digest: sha256(`${os}${architecture}${variant}`),
      size: 1,
      platform: { os, architecture, ...(variant ? { variant } : {}) },
    })
    const [x386, unknown, amd64] = [entry('386'), entry('unknown', 'unknown'), entry('amd64')]
    expect(rankByPlatform([x386, unknown, amd64], parsePlatform('linux/amd64'))).toEqual([amd64, x386])
    expect(rankByPlatform([entry('arm64', 'linux', 'v8')], parsePlatform('linux/arm64'))).toHaveLength(1)
  })
})

describe('proxyFor', () => {
  const ask = (url: string, no = '') => proxyFor(new URL(url), { HTTPS_PROXY: 'http://p:1', http_proxy: 'q:2', NO_PROXY: no })?.host
  test.each([
    ['https://a.example/', '', 'p:1'],
    ['http://a.example/', '', 'q:2'],
    ['http://127.0.0.1:5000/', '', undefined],
    ['https://a.example/', 'example', undefined],
    ['https://notexample/', 'example', 'p:1'],
    ['https://example/', '.example', 'p:1'],
    ['https://a.example/', '*.example', undefined],
    ['https://a.example:444/', 'a.example:443', 'p:1'],
    ['https://10.1.2.3/', '10.0.0.0/8', undefined],
    ['https://11.1.2.3/', '10.0.0.0/8', 'p:1'],
    ['https://a.example/', '*', undefined],
  ])('%s without %j → %s', (url, no, host) => expect(ask(url, no)).toBe(host))

  test('a proxy that cannot be used is refused without its password', () => {
    const error = () => proxyFor(new URL('http://a.example/'), { HTTP_PROXY: 'socks5://ann:hunter2@p' })
    expect(error).toThrow(expect.objectContaining({ code: 'PROXY_INVALID', message: expect.not.stringContaining('hunter2') }))
  })
})

describe('registries.conf', () => {
  const text = `unqualified-search-registries = ["docker.io"]
[[registry]]
prefix = "corp.example/team" # ours
location = "store.example:5000/t"
insecure = true
[[registry]]
location = "bad.example"
blocked = true
`
  const entries = parseRegistriesConf(text, 'f')
  test('the longest prefix is rewritten; loopback is for both, the rest TLS', () => {
    expect(endpointOf('corp.example', 'team/app', entries)).toEqual({ host: 'store.example:5000', path: 't/app', security: 'either' })
    expect(endpointOf('corp.example', 'teams/app', entries)).toEqual({ host: 'corp.example', path: 'teams/app', security: 'tls' })
    expect(endpointOf('localhost:5000', 'a', entries).security).toBe('loopback')
    expect(endpointOf('docker.io', 'library/debian', entries).host).toBe('registry-1.docker.io')
  })
  test('mirrors stand for the prefix, a wildcard for the whole host', () => {
    const mirrors = `[[registry]]
prefix = "docker.io"
[[registry.mirror]]
location = "mirror.example/hub"
[[registry.mirror]]
location = "localhost:5000"
[[registry]]
prefix = "*.corp.example"
[[registry.mirror]]
location = "cache.example/corp"
insecure = true
`
    const parsed = parseRegistriesConf(mirrors, 'f')
    expect(mirrorsOf('docker.io', 'library/debian', false, parsed)).toEqual([
      { host: 'mirror.example', path: 'hub/library/debian', security: 'tls' },
      { host: 'localhost:5000', path: 'library/debian', security: 'loopback' },
    ])
    expect(mirrorsOf('a.corp.example', 'x/y', true, parsed)).toEqual([{ host: 'cache.example', path: 'corp/x/y', security: 'either' }])
    expect(endpointOf('a.corp.example', 'x/y', parsed)).toEqual({ host: 'a.corp.example', path: 'x/y', security: 'tls' })
    expect(mirrorsOf('other.example', 'x', true, parsed)).toEqual([])
  })
  test('a location of a wildcard stands for the whole host, as its mirrors do', () => {
    const parsed = parseRegistriesConf('[[registry]]\nprefix = "*.corp.example"\nlocation = "proxy.example/cache"\n', 'f')
    expect(endpointOf('a.corp.example', 'x/y', parsed)).toEqual({ host: 'proxy.example', path: 'cache/x/y', security: 'tls' })
  })
  test('slashes at the end of a prefix, a location or a mirror say nothing', () => {
    const slashes = parseRegistriesConf(
      `[[registry]]
location = "a.example/"
insecure = true
[[registry.mirror]]
location = "m.example//"
[[registry]]
prefix = "b.example/"
location = "c.example/"
[[registry]]
location = "bad.example/"
blocked = true
`,
      'f',
    )
    expect(endpointOf('a.example', 'x', slashes)).toEqual({ host: 'a.example', path: 'x', security: 'either' })
    expect(mirrorsOf('a.example', 'x', true, slashes)).toEqual([{ host: 'm.example', path: 'x', security: 'tls' }])
    expect(endpointOf('b.example', 'x', slashes)).toEqual({ host: 'c.example', path: 'x', security: 'tls' })
    expect(() => endpointOf('bad.example', 'x', slashes)).toThrow(expect.objectContaining({ code: 'REGISTRY_DENIED' }))
  })
  test.each([
    ['location = "b.example"', ''],
    ['', '[[registry.mirror]]\nlocation = "b.example"'],
  ])('a repository that leads to a host alone is refused: %s%s', (location, mirror) => {
    const parsed = parseRegistriesConf(`[[registry]]\nprefix = "a.example/lib/x"\n${location}\n${mirror}\n`, 'f')
    const both = () => [endpointOf('a.example', 'lib/x', parsed), ...mirrorsOf('a.example', 'lib/x', true, parsed)]
    expect(both).toThrow(
      expect.objectContaining({
        code: 'REGISTRIES_CONF_INVALID',
        message: 'a.example/lib/x leads to b.example, which names no repository',
      }),
    )
    expect(endpointOf('a.example', 'lib/x/y', parsed).path).toMatch(/y$/)
  })
  test('blocked is carried out', () => {
    expect(() => endpointOf('bad.example', 'x', entries)).toThrow(expect.objectContaining({ code: 'REGISTRY_DENIED' }))
  })
  test.each([
    ['[[registry]]\nlocation = {', 'f:2:'],
    ['registry = "a"', 'f: registry is not a list of tables'],
    ['[[registry.mirror]]\nlocation = "a"\n', 'f: registry is not a list of tables'],
    ['[[registry]]\nlocation = 1\n', 'f: registry 1: location is not a text'],
    ['[[registry]]\nlocation = "a"\nblocked = "true"\n', 'f: registry 1: blocked is neither true nor false'],
    ['[[registry]]\nlocation = "a"\n[[registry.mirror]]\n', 'f: registry 1, mirror 1: it has no location'],
    ['[[registry]]\nblocked = true\n', 'f: registry 1: it has neither a location nor a prefix'],
    ['[[registry]]\nlocation = "/"\n', 'f: registry 1: location "/" names no registry'],
    ['[[registry]]\nprefix = "//"\nlocation = "a"\n', 'f: registry 1: prefix "//" names no registry'],
    ['[[registry]]\nlocation = "https://a.example"\n', 'f: registry 1: location "https://a.example" is a URL'],
    ['[[registry]]\nprefix = "http://a.example"\n', 'f: registry 1: prefix "http://a.example" is a URL'],
    ['[[registry]]\nlocation = "a"\n[[registry.mirror]]\nlocation = "http://b"\n', 'f: registry 1, mirror 1: location "http://b" is a URL'],
    ['[[registry]]\nlocation = "a"\n[[registry.mirror]]\nlocation = "b"\npull-from-mirror = "never"\n', 'pull-from-mirror is "never"'],
  ])('%j is refused', (broken, message) => {
    expect(() => parseRegistriesConf(broken, 'f')).toThrow(
      expect.objectContaining({ code: 'REGISTRIES_CONF_INVALID', message: expect.stringContaining(message) }),
    )
  })
  test('tables, lists and quotes that are for others', () => {
    const whole = `short-name-mode = 'enforcing'
credential-helpers = ["containers-auth.json", "pass"]
[aliases]
"debian" = "docker.io/library/debian"
[[registry]]
"location" = """a.example"""
insecure = true`
    expect(parseRegistriesConf(whole, 'f')).toEqual([{ prefix: 'a.example', location: 'a.example', insecure: true, blocked: false }])
  })
})

test('challenges: several in one header, quoted commas, escapes', () => {
  const parsed = parseChallenges('Basic realm="a, b", Bearer realm="https://t/?a=\\"b\\"",scope=x')
  expect(parsed.map(({ scheme, parameters }) => [scheme, ...parameters.values()])).toEqual([
    ['basic', 'a, b'],
    ['bearer', 'https://t/?a="b"', 'x'],
  ])
})

test('challenges end for any text', () => {
  fc.assert(fc.property(fc.string(), (text) => parseChallenges(text).length <= text.length))
})

test('a document of any bytes is parsed or MANIFEST_INVALID', () => {
  const member = fc.constantFrom('schemaVersion', 'mediaType', 'manifests', 'layers', 'config', 'digest', 'size', 'urls', '__proto__')
  fc.assert(
    fc.property(fc.dictionary(member, fc.oneof(fc.jsonValue(), fc.constant(2), fc.constant([]))), (value) => {
      try {
        parseImageDocument(Buffer.from(JSON.stringify(value)), 'x')
      } catch (error) {
        expect((error as { code?: string }).code).toBe('MANIFEST_INVALID')
      }
    }),
  )
})

test.each([
  ['oci-layout:///a/b', { directory: '/a/b' }],
  ['oci-layout://a:b', { directory: 'a', tag: 'b' }],
  ['oci-layout:///a:x/b', { directory: '/a:x/b' }],
  [`oci-layout:///a:t@${sha256('x')}`, { directory: '/a', tag: 't', digest: sha256('x') }],
  ['docker.io/a', undefined],
])('layout reference %s', (text, expected) => expect(parseLayoutReference(text)).toEqual(expected))

test.each(['oci-layout://', 'oci-layout://a@sha256:x', 'oci-layout://a\0b'])('layout reference %j is refused', (text) => {
  expect(() => parseLayoutReference(text)).toThrow(expect.objectContaining({ code: 'IMAGE_REFERENCE_INVALID' }))
})
