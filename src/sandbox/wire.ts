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

function encodeRecord(kind: number, fields: readonly Field[]): Uint8Array[] {
  const header = Buffer.alloc(4)
  header.writeUInt16LE(kind, 0)
  header.writeUInt16LE(fields.length, 2)
  return [header, ...fields.flatMap(encodeField)]
}

const NUL = Buffer.alloc(1)

function encodeField(field: Field): Uint8Array[] {
  const bytes = typeof field === 'object' ? field : Buffer.from(String(field))
  const length = Buffer.alloc(4)
  length.writeUInt32LE(bytes.length, 0)
  return [length, bytes, NUL]
}

function mountRecord(mount: PlanMount): Uint8Array[] {
  switch (mount.kind) {
    case 'device':
      return encodeRecord(RECORD.device, [mount.target, mount.source, mount.major, mount.minor])
    case 'link':
      return encodeRecord(RECORD.link, [mount.target, mount.text])
    case 'mask':
    case 'readonly':
      return encodeRecord(RECORD[mount.kind], [mount.target])
    default:
      return attachedRecord(mount)
  }
}

function attachedRecord(mount: Extract<PlanMount, { attributes: unknown }>): Uint8Array[] {
  const common = [mount.target, maskOf(mount.attributes, ATTRIBUTE), maskOf(mount.flags, FLAG)]
  switch (mount.kind) {
    case 'fs':
      return encodeRecord(RECORD.fs, [...common, mount.fs, ...mount.options])
    case 'bind':
      return encodeRecord(RECORD.bind, [...common, mount.source, mount.path])
    case 'view':
      return encodeRecord(RECORD.view, [...common, mount.path, mount.writable ? 1 : 0, mount.options, ...mount.directories.toReversed()])
    case 'file':
      return encodeRecord(RECORD.file, [...common, mount.mode, mount.uid, mount.gid, mount.data])
  }
}

/** Plan → bytes for the runner's stdin. */
export function encodePlan(plan: Plan): Buffer {
  const { root, user } = plan
  const namespaces = maskOf(plan.namespaces, NAMESPACE)
  const process = [plan.hostname, namespaces, plan.cwd, user.uid, user.gid, plan.capabilities, plan.setgroups ? 0 : 1]
  const body = Buffer.concat([
    ...encodeRecord(RECORD.root, [root.upper, root.work, root.options, ...root.lower.toReversed()]),
    ...encodeRecord(RECORD.process, process),
    ...encodeRecord(RECORD.groups, user.groups),
    ...encodeRecord(RECORD.args, plan.args),
    ...encodeRecord(RECORD.env, plan.env),
    ...encodeRecord(RECORD.path, plan.path),
    ...plan.rlimits.flatMap(({ resource, soft, hard }) => encodeRecord(RECORD.rlimit, [resource, soft, hard])),
    ...(plan.seccomp === undefined ? [] : encodeRecord(RECORD.seccomp, [plan.seccomp])),
    ...plan.cgroups.flatMap((directory) => encodeRecord(RECORD.cgroup, [directory])),
    ...(plan.oomCounter === undefined ? [] : encodeRecord(RECORD.oom, [plan.oomCounter])),
    ...plan.mounts.flatMap(mountRecord),
    Buffer.alloc(4),
  ])
  const header = Buffer.alloc(12)
  header.write('tbuild1\n', 0, 'latin1')
  header.writeUInt32LE(body.length, 8)
  return Buffer.concat([header, body])
}
