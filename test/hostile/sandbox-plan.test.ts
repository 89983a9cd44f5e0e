import { spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { Socket } from 'node:net'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from '@jest/globals'
import { nativeFolder, sys } from '../../src/base/sys.ts'
import { OutputFrames } from '../../src/sandbox/output-frames.ts'
import { socketPair } from '../../src/sandbox/runner-server.ts'
import { encodeRecords, RECORDS, type RecordName, type RecordValues, record, type WireRecord } from '../../src/sandbox/wire.ts'
import { describeWith } from '../support/needs.ts'

const runner = join(nativeFolder(), 'runner')
const suite = describeWith(process.getuid?.() === 0 && existsSync(runner), 'root and the runner')

const NAMESPACES = 0x20000 + 0x20000000 + 0x8000000 + 0x4000000 + 0x2000000
const attached = { target: '/t', attributes: 15, flags: 15 }

/** One that is right of each kind. */
const RIGHT: { readonly [N in RecordName]: RecordValues<N> } = {
  root: { upper: '/nonexistent/upper', work: '/nonexistent/work', options: '', directory: '', layers: ['/nonexistent/layer'] },
  process: {
    ...{ hostname: 'host', namespaces: NAMESPACES, cwd: '/', uid: 0, gid: 0 },
    ...{ capabilities: 0, skipSetgroups: false, scoped: false },
  },
  groups: { gids: [1, 4294967294] },
  args: { words: ['true'] },
  env: { variables: ['A=1', ''] },
  path: { directories: ['/bin'] },
  rlimit: { resource: 7, soft: 18446744073709551615n, hard: 18446744073709551615n },
  seccomp: { filter: Buffer.alloc(8) },
  cgroup: { directory: '/c' },
  oom: { counter: '/o' },
  shown: { uid: 1, gid: 1 },
  owners: { file: '/f' },
  fs: { ...attached, type: 'tmpfs', options: ['mode=0700'] },
  bind: { ...attached, source: '/s', path: '' },
  view: { ...attached, path: '/', writable: true, options: '', layers: ['/l'] },
  file: { ...attached, mode: 0o7777, uid: 0, gid: 0, data: Buffer.from('\0') },
  device: { target: '/dev/null', source: '/dev/null', major: 1, minor: 4294967295 },
  link: { target: '/dev/fd', text: 'x' },
  mask: { target: '/proc/keys' },
  readonly: { target: '/proc/sys' },
}
const NAMES = Object.keys(RECORDS) as RecordName[]
const right = (name: RecordName): WireRecord => record(name, RIGHT[name])
const process_ = (changed: Partial<RecordValues<'process'>>) => record('process', { ...RIGHT.process, ...changed })
const root = (changed: Partial<RecordValues<'root'>>) => record('root', { ...RIGHT.root, ...changed })

const NEEDED = ['root', 'process', 'groups', 'args', 'env', 'path'] as const
const valid = NEEDED.map(right)
/** The needed ones with `changed` in place of that of its kind, or after them. */
const plan = (...changed: readonly WireRecord[]): WireRecord[] => {
  const kinds = new Set(changed.map(([kind]) => kind))
  return [...valid.filter(([kind]) => !kinds.has(kind)), ...changed]
}

let control: number

/** What one runner says of the bytes as a plan, and nothing else. */
async function status(bytes: Buffer): Promise<string> {
  const [ours, theirs] = socketPair()
  const socket = new Socket({ fd: ours })
  // It may answer before it has read everything.
  socket.on('error', () => {})
  socket.end(bytes)
  sys().sendDescriptor(control, theirs)
  sys().close(theirs)
  const frames = new OutputFrames({ stdout: () => expect('output').toBe('none'), stderr: () => expect('output').toBe('none') })
  socket.on('data', (data) => frames.push(data))
  await new Promise((resolve) => socket.on('close', resolve))
  return frames.status
}
const answer = (records: readonly WireRecord[]) => status(encodeRecords(records))
const FIRST_ACT = /^error 2 mount the 1 layers of the root/

suite('a plan that is not right is refused as a whole, before anything is done', () => {
  // The same for all plans: none of them ends it.
  beforeAll(() => {
    const [ours, theirs] = socketPair()
    spawn(runner, ['serve'], { stdio: [theirs, 'ignore', 'ignore'], env: {} })
    sys().close(theirs)
    control = ours
  })
  afterAll(() => sys().close(control))

  test('the control: a right plan, with a record of each kind, fails at its first act only', async () => {
    await expect(answer(valid)).resolves.toMatch(FIRST_ACT)
    // The warden would make its file.
    await expect(answer(NAMES.filter((name) => name !== 'owners').map(right))).resolves.toMatch(FIRST_ACT)
  })

  test.each<[string, readonly WireRecord[]]>([
    ['an unknown record', [...valid, [99, []]]],
    ['an unknown record with what one of the mounts has', [...valid, [15, ['/t']]]],
    ['a record given twice', [...valid, right('args')]],
    ['no command', plan(record('args', { words: [] }))],
    ['no environment record', valid.filter(([kind]) => kind !== RECORDS.env.kind)],
    ['a relative layer', plan(root({ layers: ['layer'] }))],
    ['no layer', plan(root({ layers: [] }))],
    ['a relative directory of the root', plan(root({ directory: 'root' }))],
    ['a negative number', plan(process_({ uid: -1 }))],
    ['a number beyond 64 bits', plan(process_({ namespaces: 18446744073709551616n }))],
    ['a uid beyond the last', plan(process_({ uid: 4294967295 }))],
    ['a group beyond the last', plan(record('groups', { gids: [0, 4294967295] }))],
    ['a missing namespace', plan(process_({ namespaces: NAMESPACES - 0x20000 }))],
    ['no namespace and no directory of its own', plan(process_({ namespaces: 0 }))],
    ['no namespace and a mount', [...plan(root({ directory: '/r' }), process_({ namespaces: 0 })), right('mask')]],
    ['a user namespace on top', plan(process_({ namespaces: NAMESPACES + 0x10000000 }))],
    ['a relative working directory', plan(process_({ cwd: 'x' }))],
    ['a seccomp program of seven bytes', [...valid, record('seccomp', { filter: Buffer.alloc(7) })]],
    ['a seccomp program of no bytes', [...valid, record('seccomp', { filter: Buffer.alloc(0) })]],
    ['a seccomp program that is too long', [...valid, record('seccomp', { filter: Buffer.alloc(8 * 4097) })]],
    ['an attribute that the runner does not know', [...valid, record('bind', { ...RIGHT.bind, attributes: 16 })]],
    ['a flag that the runner does not know', [...valid, record('bind', { ...RIGHT.bind, flags: 16 })]],
    ['a mode with more than permissions', [...valid, record('file', { ...RIGHT.file, mode: 0o10000 })]],
    ['a resource that there is not', [...valid, record('rlimit', { ...RIGHT.rlimit, resource: 16 })]],
    ['a device number beyond 32 bits', [...valid, record('device', { ...RIGHT.device, major: 4294967296 })]],
    ['more records than any build has', [...valid, ...Array.from({ length: 65536 }, () => right('mask'))]],
  ])('%s', async (_name, records) => {
    await expect(answer(records)).resolves.toMatch(/^error \d+ plan: /)
  })

  /** With `value` as its field number `index`. */
  const altered = (name: RecordName, index: number, value: string): WireRecord => {
    const [kind, fields] = right(name)
    return [kind, fields.with(index, value)]
  }
  const fields = NAMES.flatMap((name) => Object.entries(RECORDS[name].fields).map(([field, type], index) => ({ name, field, type, index })))

  test.each(fields)('$name: $field is $type for the runner, too', async ({ name, type, index }) => {
    if (type === 'bytes') return
    const wrong = { text: ['\0'], texts: ['\0'], flag: ['2', ''], number: ['0x0', '', '-1'], numbers: ['', '1 '] }[type]
    for (const value of wrong) {
      await expect(answer(plan(altered(name, index, value)))).resolves.toContain(`of record ${RECORDS[name].kind} is not valid`)
    }
  })

  test.each(NAMES)('%s: a field less, a field more', async (name) => {
    const [kind, all] = right(name)
    const types = Object.values(RECORDS[name].fields)
    const single = types.filter((type) => type !== 'texts' && type !== 'numbers').length
    const refused = new RegExp(`^error 0 plan: (field \\d+ of record ${kind} is not valid|seccomp)`)
    if (single > 0) await expect(answer(plan([kind, all.slice(0, single - 1)]))).resolves.toMatch(refused)
    if (single === types.length) await expect(answer(plan([kind, [...all, '/x']]))).resolves.toMatch(refused)
  })

  test('any cut', async () => {
    const whole = encodeRecords(valid)
    for (let length = 0; length < whole.length; length += 7)
      await expect(status(whole.subarray(0, length))).resolves.toMatch(/^error \d+ plan: /)
    for (const size of [whole.length - 13, 0, 3, 0xffffffff]) {
      const bytes = Buffer.from(whole)
      bytes.writeUInt32LE(size, 8)
      await expect(status(bytes)).resolves.toMatch(/^error \d+ plan: /)
    }
  })

  test.each([0xffffffff, 0xfffffff0, 1 << 20])('a field longer than the plan', async (length) => {
    const bytes = encodeRecords(valid)
    bytes.writeUInt32LE(length, 16)
    await expect(status(bytes)).resolves.toMatch(/^error \d+ plan: /)
  })
})
