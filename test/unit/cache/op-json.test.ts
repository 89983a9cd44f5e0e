import { sha256 } from '../../../src/base/digest.ts'
import { digestOf, goJson, joinedDigest, omitEmpty, recordDigest } from '../../../src/cache/buildkit/op-json.ts'

test('members stand in the order of the struct, and what HTML could misread is escaped', () => {
  expect(goJson({ b: ['<a> & "b"'], a: { z: true } })).toBe('{"b":["\\u003ca\\u003e \\u0026 \\"b\\""],"a":{"z":true}}')
})

test('an int64 that a double cannot hold is written whole', () => {
  expect(goJson({ timestamp: 1_700_000_000_123_456_789n })).toBe('{"timestamp":1700000000123456789}')
})

test('omitempty leaves out zero values, but no message that is there', () => {
  const all = { text: '', zero: 0, none: 0n, no: false, list: [], absent: undefined }
  expect(goJson(omitEmpty({ ...all, message: {}, minus: -1, yes: true }))).toBe('{"message":{},"minus":-1,"yes":true}')
})

/** As docker 28.5 (BuildKit 0.25) exported it for `RUN echo hi > /hi` with ARG FOO=bar and ENV A=1 on the host's network. */
test('the record of a RUN', () => {
  const env = ['PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin', 'FOO=bar', 'A=1']
  const meta = { args: ['/bin/sh', '-c', 'echo hi > /hi'], env, cwd: '/', removeMountStubsRecursive: true }
  const op = { Type: 'buildkit.exec.v0', Exec: { meta, network: 1 }, OS: 'linux', Arch: 'amd64' }
  expect(recordDigest(digestOf(op), 0)).toBe('sha256:a07c552b2be071c0b9bddb487a6b6398658a9bd8c0366384d3287cdb2304ac98')
})

test('the selector of the root mount', () => {
  expect(joinedDigest(['/'])).toBe(sha256('/'))
  expect(joinedDigest(['/a', '/b'])).toBe(sha256('/a\0/b'))
})
