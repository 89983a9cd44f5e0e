import type { MountAttribute, MountFlag, Plan, PlanMount } from './plan.ts'

/** The binary form that `runner/plan.h` describes. */
const RECORD = {
  root: 1,
  process: 2,
  groups: 3,
  args: 4,
  env: 5,
  path: 6,
  rlimit: 7,
  seccomp: 8,
  cgroup: 9,
  oom: 10,
  shown: 11,
  owners: 12,
  fs: 16,
  bind: 17,
  view: 18,
  file: 19,
  device: 20,
  link: 21,
  mask: 22,
  readonly: 23,
} as const

/** MOUNT_ATTR_* of linux/mount.h. */
const ATTRIBUTE: Record<MountAttribute, number> = { ro: 1, nosuid: 2, nodev: 4, noexec: 8 }
/** enum mount_flag of runner/plan.h. */
const FLAG: Record<MountFlag, number> = { plain: 1, user: 2, recursive: 4, keep: 8 }
/** CLONE_NEW* of linux/sched.h. */
const NAMESPACE = { mount: 0x20000, pid: 0x20000000, ipc: 0x8000000, uts: 0x4000000, cgroup: 0x2000000, net: 0x40000000 } as const

type Field = string | number | bigint | Uint8Array

const maskOf = <K extends string>(names: readonly K[], bits: Readonly<Record<K, number>>): number =>
  names.reduce((mask, name) => mask | bits[name], 0)

/** A record of the wire: its kind and its fields. */
type WireRecord = readonly [kind: number, fields: readonly Field[]]

const RECORD_HEADER = 4
/** A field's length and the NUL after it. */
const FIELD_EXTRA = 5

const sizeOf = ([, fields]: WireRecord): number =>
  fields.reduce<number>((size, field) => size + FIELD_EXTRA + lengthOf(field), RECORD_HEADER)

const lengthOf = (field: Field): number => (typeof field === 'object' ? field.length : Buffer.byteLength(String(field)))

/** Writes a record at `at` and returns where it ends. */
function writeRecord(target: Buffer, at: number, [kind, fields]: WireRecord): number {
  target.writeUInt16LE(kind, at)
  let end = target.writeUInt16LE(fields.length, at + 2)
  for (const field of fields) {
    const start = end + 4
    if (typeof field === 'object') target.set(field, start)
    const length = typeof field === 'object' ? field.length : target.write(String(field), start)
    target.writeUInt32LE(length, end)
    end = target.writeUInt8(0, start + length)
  }
  return end
}

function mountRecord(mount: PlanMount): WireRecord {
  switch (mount.kind) {
    case 'device':
      return [RECORD.device, [mount.target, mount.source, mount.major, mount.minor]]
    case 'link':
      return [RECORD.link, [mount.target, mount.text]]
    case 'mask':
    case 'readonly':
      return [RECORD[mount.kind], [mount.target]]
    default:
      return attachedRecord(mount)
  }
}

function attachedRecord(mount: Extract<PlanMount, { attributes: unknown }>): WireRecord {
  const common = [mount.target, maskOf(mount.attributes, ATTRIBUTE), maskOf(mount.flags, FLAG)]
  switch (mount.kind) {
    case 'fs':
      return [RECORD.fs, [...common, mount.fs, ...mount.options]]
    case 'bind':
      return [RECORD.bind, [...common, mount.source, mount.path]]
    case 'view':
      return [RECORD.view, [...common, mount.path, mount.writable ? 1 : 0, mount.options, ...mount.directories.toReversed()]]
    case 'file':
      return [RECORD.file, [...common, mount.mode, mount.uid, mount.gid, mount.data]]
  }
}

function planRecords(plan: Plan): WireRecord[] {
  const { root, user } = plan
  const namespaces = maskOf(plan.namespaces, NAMESPACE)
  const process = [plan.hostname, namespaces, plan.cwd, user.uid, user.gid, plan.capabilities, plan.setgroups ? 0 : 1, plan.scoped ? 1 : 0]
  return [
    [RECORD.root, [root.upper, root.work, root.options, root.directory ?? '', ...root.lower.toReversed()]],
    [RECORD.process, process],
    [RECORD.groups, user.groups],
    [RECORD.args, plan.args],
    [RECORD.env, plan.env],
    [RECORD.path, plan.path],
    ...plan.rlimits.map(({ resource, soft, hard }): WireRecord => [RECORD.rlimit, [resource, soft, hard]]),
    ...(plan.seccomp === undefined ? [] : [[RECORD.seccomp, [plan.seccomp]] as const]),
    ...plan.cgroups.map((directory): WireRecord => [RECORD.cgroup, [directory]]),
    ...(plan.oomCounter === undefined ? [] : [[RECORD.oom, [plan.oomCounter]] as const]),
    ...(plan.shownAs === undefined ? [] : [[RECORD.shown, [plan.shownAs.uid, plan.shownAs.gid]] as const]),
    ...(plan.ownerRecord === undefined ? [] : [[RECORD.owners, [plan.ownerRecord]] as const]),
    ...plan.mounts.map(mountRecord),
  ]
}

const MAGIC = 'tbuild1\n'
const HEADER = MAGIC.length + 4

/** Plan → bytes for the runner's stdin. */
export function encodePlan(plan: Plan): Buffer {
  const records = planRecords(plan)
  const size = records.reduce((sum, record) => sum + sizeOf(record), RECORD_HEADER)
  const bytes = Buffer.alloc(HEADER + size)
  bytes.write(MAGIC, 0, 'latin1')
  bytes.writeUInt32LE(size, MAGIC.length)
  // The record that ends the list is all zeros.
  records.reduce((at, record) => writeRecord(bytes, at, record), HEADER)
  return bytes
}
