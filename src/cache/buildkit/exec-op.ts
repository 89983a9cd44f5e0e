import type { Digest } from '../../base/digest.ts'
import { baseName, cleanPath } from '../../go/path.ts'
import type { ExecOp, ExecOpMount } from '../../graph/op.ts'
import { cacheDirectoryNode, heredocNode } from './file-op.ts'
import { type Base, type ContentRequest, Inputs, type Node, type NodeInput, opNode, type Selection } from './node.ts'
import { digestOf, type GoJson, joinedDigest, omitEmpty } from './op-json.ts'
import { dedupePaths } from './selectors.ts'

/** Where a mount's files come from. */
export interface MountSource {
  readonly node: Base
  /** Whose files count by their content; undefined for what was made for the mount. */
  readonly vertex?: ContentRequest['source']
}

/** solver/pb Mount, before its input has a number. */
interface Mount {
  readonly target: string
  readonly source: MountSource
  /** Cleared in the key itself. */
  readonly selector: string
  readonly root?: boolean
  readonly members: { readonly [member: string]: GoJson | undefined }
}

/** RUN (dockerfile2llb, dispatchRun; client/llb/exec.go; solver/llbsolver/ops/exec.go). `sourceOf` gives what the input of a mount is. */
export function execNode(op: ExecOp, base: Base, sourceOf: (mount: ExecOpMount) => MountSource): Node {
  const mounts = mountsOf(op, base, sourceOf)
  const found = new Inputs()
  const reads: { paths: string[]; content: boolean; vertex: MountSource['vertex'] }[] = []
  const listed = mounts.map(({ target, source: { node, vertex }, selector, root, members }): GoJson => {
    const input = found.add(node)
    if (input >= 0) {
      const read = reads[input] ?? { paths: [], content: true, vertex }
      // What is also the root is seen whole: a content has no times, though BuildKit lets the last mount decide (getMountDeps).
      const content = read.content && root !== true
      reads[input] = { paths: [...read.paths, cleanPath(`/${selector}`)], content, vertex: vertex ?? read.vertex }
    }
    return omitEmpty({ input, dest: target, output: root === true ? 0 : -1, ...members })
  })
  const digests = sshIds(op).map((id) => execDigest(op, [...listed, ...secretMounts(op), ...sshMounts(op, id)]))
  const inputs = found.nodes.map((node, index): NodeInput => {
    const { paths, content, vertex } = reads[index] as (typeof reads)[number]
    const selections = content && vertex !== undefined ? { content: { source: vertex, selections: selectionsOf(paths) } } : {}
    return { node, selector: joinedDigest(paths), ...selections }
  })
  return opNode(digests, inputs, JSON.stringify([op.settings.extraHosts, op.proxyEnv, op.mounts]))
}

function execDigest(op: ExecOp, mounts: readonly GoJson[]): Digest {
  return digestOf({
    Type: 'buildkit.exec.v0',
    // A RUN without mounts has none in its key, as older versions had.
    Exec: { meta: metaOf(op), ...omitEmpty({ mounts: mounts.length === 1 ? [] : mounts, ...modesOf(op), secretenv: secretEnv(op) }) },
    OS: op.platform.os,
    Arch: op.platform.architecture,
    ...omitEmpty({ Variant: op.platform.variant, OSVersion: op.platform.osVersion }),
  })
}

function selectionsOf(paths: readonly string[]): Selection[] {
  const unique = dedupePaths(paths)
  return unique.includes('/') ? [] : unique.map((path) => ({ path, followLinks: true }))
}

function metaOf(op: ExecOp): GoJson {
  const ssh = op.mounts.find((mount) => mount.type === 'ssh')
  const socket = ssh === undefined || op.env.some((item) => item.startsWith('SSH_AUTH_SOCK=')) ? [] : [`SSH_AUTH_SOCK=${sshTarget(ssh, 0)}`]
  return omitEmpty({
    args: op.args,
    env: [...op.env, ...socket],
    cwd: op.cwd,
    user: op.user,
    extraHosts: op.settings.extraHosts.map(({ host }) => omitEmpty({ Host: host })),
    hostname: op.hostname === 'buildkitsandbox' ? '' : op.hostname,
    ulimit: op.settings.ulimits.map(({ name, soft, hard }) => omitEmpty({ Name: name, Soft: soft, Hard: hard })),
    cgroupParent: op.settings.cgroupParent,
    removeMountStubsRecursive: true,
  })
}

function modesOf({ network, security }: ExecOp) {
  return { network: network === 'host' ? 1 : network === 'none' ? 2 : 0, security: security === 'insecure' ? 1 : 0 }
}

/** Those with a file system, sorted by target as the client does before it sends the op. */
function mountsOf(op: ExecOp, base: Base, sourceOf: (mount: ExecOpMount) => MountSource): Mount[] {
  const mounts: Mount[] = [{ target: '/', source: { node: base }, selector: '', root: true, members: {} }]
  if (op.script !== undefined) {
    const { path, text } = op.script
    const source = { node: heredocNode(baseName(path), text, 0o755) }
    mounts.push({ target: `${cleanPath(`${path}/..`)}/`, source, selector: '/', members: { readonly: true } })
  }
  for (const mount of op.mounts) {
    if (mount.type === 'bind') mounts.push(bindMount(mount, sourceOf(mount)))
    else if (mount.type === 'cache') mounts.push(cacheMount(mount, sourceOf(mount)))
    else if (mount.type === 'tmpfs') mounts.push(tmpfsMount(mount.written ?? mount.target, mount.size, mount.readonly))
  }
  const { shmSize = 0 } = op.settings
  if (shmSize > 0) mounts.push(tmpfsMount('/dev/shm', shmSize, false))
  return mounts.sort((a, b) => (a.target < b.target ? -1 : a.target > b.target ? 1 : 0))
}

type Of<T> = Extract<ExecOpMount, { type: T }>

function bindMount(mount: Of<'bind'>, source: MountSource): Mount {
  return { target: mount.written ?? mount.target, source, selector: mount.source, members: { readonly: mount.readonly } }
}

function cacheMount(mount: Of<'cache'>, given: MountSource): Mount {
  const { source = '/', mode, uid, gid, readonly } = mount
  const target = mount.written ?? mount.target
  const members = { readonly, mountType: 3, cacheOpt: cacheOpt(mount) }
  if (cleanPath(`/${source}`) !== '/') return { target, source: given, selector: source, members }
  if (mode === undefined && uid === undefined && gid === undefined) return { target, source: given, selector: '', members }
  const owned = { ...(mode === undefined ? {} : { mode }), ...(uid === undefined ? {} : { uid }), ...(gid === undefined ? {} : { gid }) }
  return { target, source: { node: cacheDirectoryNode(given.node, owned) }, selector: '/cache', members }
}

/** The id counts only where it is the target's, which was so before ids were left out. */
function cacheOpt({ cacheId = '', target: clean, written, sharing, id }: Of<'cache'>): GoJson {
  const target = written ?? clean
  const named = id !== undefined && cacheId !== id
  const full = named || (cacheId !== target && cacheId.slice(cacheId.indexOf('/') + 1) === target) ? cacheId : `/${cacheId}`
  const usual = full === target || full.slice(full.indexOf('/') + 1) === target
  return usual && sharing === 'shared' ? { ID: full } : {}
}

function tmpfsMount(target: string, size: number | undefined, readonly: boolean): Mount {
  return { target, source: { node: null }, selector: '', members: { readonly, mountType: 4, TmpfsOpt: omitEmpty({ size }) } }
}

function secretMounts(op: ExecOp): GoJson[] {
  return op.mounts.flatMap((mount): GoJson[] => {
    if (mount.type !== 'secret' || mount.target === undefined) return []
    const { id, uid, gid, mode, required, target } = mount
    const secretOpt = omitEmpty({ ID: id, uid, gid, mode, optional: !required })
    return [omitEmpty({ input: -1, dest: target, mountType: 1, secretOpt })]
  })
}

function secretEnv(op: ExecOp): GoJson[] {
  return op.mounts.flatMap((mount): GoJson[] =>
    mount.type === 'secret' && mount.env !== undefined ? [omitEmpty({ ID: mount.id, name: mount.env, optional: !mount.required })] : [],
  )
}

const DEFAULT_SSH = 'default'

/** What the default agent is called in the key: as it was written, by its name or not at all. */
function sshIds(op: ExecOp): readonly string[] {
  return op.mounts.some((mount) => mount.type === 'ssh' && mount.id === DEFAULT_SSH) ? ['', DEFAULT_SSH] : [DEFAULT_SSH]
}

function sshMounts(op: ExecOp, defaultId: string): GoJson[] {
  return op.mounts
    .filter((mount) => mount.type === 'ssh')
    .map((mount, index) => {
      const { id, uid, gid, mode, required } = mount
      const SSHOpt = omitEmpty({ ID: id === DEFAULT_SSH ? defaultId : id, uid, gid, mode, optional: !required })
      return omitEmpty({ input: -1, dest: sshTarget(mount, index), mountType: 2, SSHOpt })
    })
}

function sshTarget(mount: Of<'ssh'>, index: number): string {
  return mount.target ?? `/run/buildkit/ssh_agent.${index}`
}
