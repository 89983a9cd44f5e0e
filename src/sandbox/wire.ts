import type { MountAttribute, MountFlag, Plan, PlanMount } from './plan.ts'

/** What a field may be on the wire, and its value here. `texts` and `numbers` are what is left of the record: they stand last. */
interface FieldValues {
  text: string
  number: number | bigint
  flag: boolean
  bytes: Uint8Array
  texts: readonly string[]
  numbers: readonly number[]
}

/** What runner/plan.h calls attributes and flags. */
const ATTACHED = { target: 'text', attributes: 'number', flags: 'number' } as const

/** The records of a plan: number and fields, in the order in which runner/plan.c takes them. Its enum record_kind has the same numbers. */
export const RECORDS = {
  root: { kind: 1, fields: { upper: 'text', work: 'text', options: 'text', directory: 'text', layers: 'texts' } },
  process: {
    kind: 2,
    fields: {
      ...{ hostname: 'text', namespaces: 'number', cwd: 'text', uid: 'number', gid: 'number' },
      ...{ capabilities: 'number', skipSetgroups: 'flag', scoped: 'flag' },
    },
  },
  groups: { kind: 3, fields: { gids: 'numbers' } },
  args: { kind: 4, fields: { words: 'texts' } },
  env: { kind: 5, fields: { variables: 'texts' } },
  path: { kind: 6, fields: { directories: 'texts' } },
  rlimit: { kind: 7, fields: { resource: 'number', soft: 'number', hard: 'number' } },
  seccomp: { kind: 8, fields: { filter: 'bytes' } },
  cgroup: { kind: 9, fields: { directory: 'text' } },
  oom: { kind: 10, fields: { counter: 'text' } },
  shown: { kind: 11, fields: { uid: 'number', gid: 'number' } },
  owners: { kind: 12, fields: { file: 'text' } },
  fs: { kind: 16, fields: { ...ATTACHED, type: 'text', options: 'texts' } },
  bind: { kind: 17, fields: { ...ATTACHED, source: 'text', path: 'text' } },
  view: { kind: 18, fields: { ...ATTACHED, path: 'text', writable: 'flag', options: 'text', layers: 'texts' } },
  file: { kind: 19, fields: { ...ATTACHED, mode: 'number', uid: 'number', gid: 'number', data: 'bytes' } },
  device: { kind: 20, fields: { target: 'text', source: 'text', major: 'number', minor: 'number' } },
  link: { kind: 21, fields: { target: 'text', text: 'text' } },
  mask: { kind: 22, fields: { target: 'text' } },
  readonly: { kind: 23, fields: { target: 'text' } },
} as const satisfies Readonly<Record<string, { kind: number; fields: Readonly<Record<string, keyof FieldValues>> }>>

export type RecordName = keyof typeof RECORDS
type FieldTypes<N extends RecordName> = (typeof RECORDS)[N]['fields']
export type RecordValues<N extends RecordName> = {
  readonly [F in keyof FieldTypes<N>]: FieldTypes<N>[F] extends keyof FieldValues ? FieldValues[FieldTypes<N>[F]] : never
}

/** A record of the wire: its kind and its fields. */
export type WireRecord = readonly [kind: number, fields: readonly (string | Uint8Array)[]]

export function record<N extends RecordName>(name: N, values: RecordValues<N>): WireRecord {
  const types = Object.entries(RECORDS[name].fields) as [keyof RecordValues<N>, keyof FieldValues][]
  return [RECORDS[name].kind, types.flatMap(([field, type]) => ENCODE[type](values[field] as never))]
}

const ENCODE: { readonly [T in keyof FieldValues]: (value: FieldValues[T]) => readonly (string | Uint8Array)[] } = {
  text: (value) => [value],
  number: (value) => [String(value)],
  flag: (value) => [value ? '1' : '0'],
  bytes: (value) => [value],
  texts: (value) => value,
  numbers: (value) => value.map(String),
}

/** MOUNT_ATTR_* of linux/mount.h. */
const ATTRIBUTE: Record<MountAttribute, number> = { ro: 1, nosuid: 2, nodev: 4, noexec: 8 }
/** enum mount_flag of runner/plan.h. */
export const MOUNT_FLAGS: Record<MountFlag, number> = { plain: 1, user: 2, recursive: 4, keep: 8 }
/** CLONE_NEW* of linux/sched.h. */
const NAMESPACE = { mount: 0x20000, pid: 0x20000000, ipc: 0x8000000, uts: 0x4000000, cgroup: 0x2000000, net: 0x40000000 } as const

const maskOf = <K extends string>(names: readonly K[], bits: Readonly<Record<K, number>>): number =>
  names.reduce((mask, name) => mask | bits[name], 0)

function mountRecord(mount: PlanMount): WireRecord {
  switch (mount.kind) {
    case 'device':
      return record('device', mount)
    case 'link':
      return record('link', mount)
    case 'mask':
    case 'readonly':
      return record(mount.kind, mount)
    default:
      return attachedRecord(mount)
  }
}

function attachedRecord(mount: Extract<PlanMount, { attributes: unknown }>): WireRecord {
  const masks = { attributes: maskOf(mount.attributes, ATTRIBUTE), flags: maskOf(mount.flags, MOUNT_FLAGS) }
  switch (mount.kind) {
    case 'fs':
      return record('fs', { ...mount, ...masks, type: mount.fs })
    case 'bind':
      return record('bind', { ...mount, ...masks })
    case 'view':
      return record('view', { ...mount, ...masks, layers: mount.directories.toReversed() })
    case 'file':
      return record('file', { ...mount, ...masks })
  }
}

function processRecord(plan: Plan): WireRecord {
  const { uid, gid } = plan.user
  return record('process', { ...plan, uid, gid, namespaces: maskOf(plan.namespaces, NAMESPACE), skipSetgroups: !plan.setgroups })
}

function planRecords(plan: Plan): WireRecord[] {
  const { root } = plan
  return [
    record('root', { ...root, directory: root.directory ?? '', layers: root.lower.toReversed() }),
    processRecord(plan),
    record('groups', { gids: plan.user.groups }),
    record('args', { words: plan.args }),
    record('env', { variables: plan.env }),
    record('path', { directories: plan.path }),
    ...plan.rlimits.map((limit) => record('rlimit', limit)),
    ...(plan.seccomp === undefined ? [] : [record('seccomp', { filter: plan.seccomp })]),
    ...plan.cgroups.map((directory) => record('cgroup', { directory })),
    ...(plan.oomCounter === undefined ? [] : [record('oom', { counter: plan.oomCounter })]),
    ...(plan.shownAs === undefined ? [] : [record('shown', plan.shownAs)]),
    ...(plan.ownerRecord === undefined ? [] : [record('owners', { file: plan.ownerRecord })]),
    ...plan.mounts.map(mountRecord),
  ]
}

export const MAGIC = 'tbuild1\n'
const HEADER = MAGIC.length + 4
const RECORD_HEADER = 4
/** A field's length and the NUL after it. */
const FIELD_EXTRA = 5

const sizeOf = ([, fields]: WireRecord): number =>
  fields.reduce((size, field) => size + FIELD_EXTRA + Buffer.byteLength(field), RECORD_HEADER)

/** Writes a record at `at` and returns where it ends. */
function writeRecord(target: Buffer, at: number, [kind, fields]: WireRecord): number {
  target.writeUInt16LE(kind, at)
  let end = target.writeUInt16LE(fields.length, at + 2)
  for (const field of fields) {
    const start = end + 4
    if (typeof field === 'object') target.set(field, start)
    const length = typeof field === 'object' ? field.length : target.write(field, start)
    target.writeUInt32LE(length, end)
    end = target.writeUInt8(0, start + length)
  }
  return end
}

/** The form that runner/wire.h describes. */
export function encodeRecords(records: readonly WireRecord[]): Buffer {
  const size = records.reduce((sum, one) => sum + sizeOf(one), RECORD_HEADER)
  const bytes = Buffer.alloc(HEADER + size)
  bytes.write(MAGIC, 0, 'latin1')
  bytes.writeUInt32LE(size, MAGIC.length)
  // The record that ends the list is all zeros.
  records.reduce((at, one) => writeRecord(bytes, at, one), HEADER)
  return bytes
}

/** Plan → bytes for the runner's stdin. */
export function encodePlan(plan: Plan): Buffer {
  return encodeRecords(planRecords(plan))
}
