import { spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from '@jest/globals'
import { nativeFolder } from '../../src/base/sys.ts'
import { describeWith } from '../support/needs.ts'

const runner = join(nativeFolder(), 'runner')
const suite = describeWith(process.getuid?.() === 0 && existsSync(runner), 'root and the runner')

type Record = readonly [kind: number, ...fields: (string | number)[]]

function encode(records: readonly Record[], size?: number): Buffer {
  const parts: Buffer[] = []
  const u16 = (...values: number[]) => parts.push(Buffer.from(Uint16Array.from(values).buffer))
  const u32 = (value: number) => parts.push(Buffer.from(Uint32Array.of(value).buffer))
  for (const [kind, ...fields] of records) {
    u16(kind, fields.length)
    for (const field of fields) {
      const bytes = Buffer.from(String(field))
      u32(bytes.length)
      parts.push(bytes, Buffer.alloc(1))
    }
  }
  u16(0, 0)
  const body = Buffer.concat(parts)
  const header = Buffer.alloc(12)
  header.write('tbuild1\n')
  header.writeUInt32LE(size ?? body.length, 8)
  return Buffer.concat([header, body])
}

const NAMESPACES = 0x20000 + 0x20000000 + 0x8000000 + 0x4000000 + 0x2000000
const ROOT: Record = [1, '/nonexistent/upper', '/nonexistent/work', '', '', '/nonexistent/layer']
const process_ = (...changed: (string | number)[]): Record => [
  2,
  ...changed.concat(['host', NAMESPACES, '/', 0, 0, 0, 0, 0].slice(changed.length)),
]
const REST: Record[] = [[3], [4, 'true'], [5], [6]]
const valid = [ROOT, process_(), ...REST]

/** The line on the status pipe. */
function status(plan: Buffer): string {
  const child = spawnSync(runner, ['exec'], { input: plan, stdio: ['pipe', 'pipe', 'pipe', 'pipe'], env: {}, timeout: 20_000 })
  expect(child.signal).toBeNull()
  return String(child.output[3])
}

suite('a plan that is not right is refused as a whole, before anything is done', () => {
  test('the control: a right plan fails at its first act only', () => {
    expect(status(encode(valid))).toMatch(/^error 2 mount the 1 layers of the root/)
  })

  test.each<[string, readonly Record[]]>([
    ['an unknown record', [...valid, [99]]],
    ['a record given twice', [...valid, [4, 'true']]],
    ['no command', [ROOT, process_(), [3], [4], [5], [6]]],
    ['no environment record', [ROOT, process_(), [3], [4, 'true'], [6]]],
    ['a relative layer', [[1, '/u', '/w', '', '', 'layer'], process_(), ...REST]],
    ['a relative directory of the root', [[1, '/u', '/w', '', 'root', '/layer'], process_(), ...REST]],
    ['a negative number', [ROOT, process_('h', NAMESPACES, '/', -1), ...REST]],
    ['a number that is none', [ROOT, process_('h', NAMESPACES, '/', '0x0'), ...REST]],
    ['a uid beyond the last', [ROOT, process_('h', NAMESPACES, '/', 4294967295), ...REST]],
    ['a number beyond 64 bits', [ROOT, process_('h', '18446744073709551616'), ...REST]],
    ['a missing namespace', [ROOT, process_('h', NAMESPACES - 0x20000), ...REST]],
    ['no namespace and no directory of its own', [ROOT, process_('h', 0), ...REST]],
    ['no namespace and a mount', [[1, '/u', '/w', '', '/r', '/l'], process_('h', 0), ...REST, [22, '/proc/keys']]],
    ['a user namespace on top', [ROOT, process_('h', NAMESPACES + 0x10000000), ...REST]],
    ['a NUL in a word', [ROOT, process_('h\0x'), ...REST]],
    ['a seccomp program of seven bytes', [...valid, [8, '1234567']]],
    ['too many fields', [...valid, [22, '/proc/keys', '/x']]],
    ['a mount target that is not absolute', [...valid, [22, 'proc/keys']]],
  ])('%s', (_name, records) => {
    expect(status(encode(records))).toMatch(/^error \d+ plan: /)
  })

  test('any cut', () => {
    const whole = encode(valid)
    for (let length = 0; length < whole.length; length += 7) expect(status(whole.subarray(0, length))).toMatch(/^error \d+ plan: /)
    expect(status(encode(valid, whole.length - 13))).toMatch(/^error \d+ plan: /)
    expect(status(encode(valid, 0xffffffff))).toMatch(/^error \d+ plan: /)
  })

  test('a field longer than the plan', () => {
    const bytes = encode(valid)
    bytes.writeUInt32LE(0xfffffff0, 16)
    expect(status(bytes)).toMatch(/^error \d+ plan: /)
  })
})
