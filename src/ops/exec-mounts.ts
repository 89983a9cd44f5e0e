import { chmodSync, chownSync } from 'node:fs'
import type { Json } from '../base/canonical-json.ts'
import { TbuildError } from '../base/errors.ts'
import type { ExecOp, ExecOpMount } from '../graph/op.ts'
import type { ExecMount } from '../sandbox/types.ts'
import { resolveUser } from '../sandbox/user.ts'
import type { CacheMountRequest, CacheMountUse } from '../store/cache-mounts.ts'
import { copyInto } from '../tree/copy.ts'
import { readFileInRoot } from '../tree/read.ts'
import type { CopySource } from '../tree/types.ts'
import { layeredView } from '../tree/view.ts'
import { layerWriter } from '../tree/writer.ts'
import { idMap } from '../values/id-map.ts'
import { type Ref, type ViewDeps, viewOf } from './ref.ts'
import type { ExecDeps, ExecKeyDeps, SecretProvider, StepIo } from './types.ts'

type CacheOpMount = Extract<ExecOpMount, { type: 'cache' }>
type SecretOpMount = Extract<ExecOpMount, { type: 'secret' }>
type SshOpMount = Extract<ExecOpMount, { type: 'ssh' }>

/** A mount's part of the key: what the command can see of it, never a secret's value or a cache's contents (K3–K5). */
export async function mountKey(mount: ExecOpMount, inputs: readonly Ref[], deps: ExecKeyDeps, io: StepIo): Promise<Json> {
  switch (mount.type) {
    case 'bind': {
      const { type, target, readonly, source } = mount
      return { type, target, readonly, content: await sourceContent(mount, source, inputs, deps, io) }
    }
    case 'cache': {
      // The id tells nothing of the result, unless it is where the cache is seen (K4); what a new cache begins with does (K5).
      const { type, target, readonly, source } = mount
      const begun = mount.input === undefined ? {} : { content: await sourceContent(mount, source ?? '/', inputs, deps, io) }
      return { type, target, readonly, source, ...begun }
    }
    case 'tmpfs':
      return { type: 'tmpfs', target: mount.target, size: mount.size, ...(mount.readonly ? { readonly: true } : {}) }
    case 'secret': {
      const { type, id, target, env, mode, uid, gid } = mount
      return { type, id, target, env, mode, uid, gid, ...asked(mount), ...withheld(mount, deps) }
    }
    case 'ssh': {
      const { type, id, target, mode, uid, gid } = mount
      return { type, id, target, mode, uid, gid, ...asked(mount), ...withheld(mount, deps) }
    }
  }
}

/** What ran without it need not run with it (K2). */
const asked = ({ required }: { readonly required: boolean }) => (required ? { required } : {})

/** What ran without what it may not have runs again when it may. */
const withheld = (mount: SecretOpMount | SshOpMount, { secrets }: ExecKeyDeps) =>
  mount.triggerOf !== undefined && secrets.withholds(mount.type, mount) ? { withheld: true } : {}

async function sourceContent(
  mount: ExecOpMount,
  path: string,
  inputs: readonly Ref[],
  { content }: ExecKeyDeps,
  { signal }: StepIo,
): Promise<string | null> {
  const ref = mount.input === undefined ? undefined : inputs[mount.input]
  if (ref === undefined) return null
  return content.digest(ref, { path, parents: false, exclude: [], wildcards: false }, signal)
}

/** Mounts that are ready for the sandbox, and what they hold until `release`. */
export interface PreparedMounts {
  readonly mounts: readonly ExecMount[]
  /** NAME=value of secrets that are given as variables. */
  readonly env: readonly string[]
  release(): void
}

/** `lower`: the root file system that the command runs in, bottom first. */
export async function prepareMounts(
  op: ExecOp,
  inputs: readonly Ref[],
  lower: readonly string[],
  deps: ExecDeps,
  io: StepIo,
): Promise<PreparedMounts> {
  const held: (() => void)[] = []
  const own = new Map<string, CacheMountUse>()
  const release = () => {
    for (const free of held.splice(0)) free()
  }
  const mounts: ExecMount[] = []
  const env: string[] = []
  let sockets = 0
  const hasSocket = op.env.some((item) => item.startsWith('SSH_AUTH_SOCK='))
  try {
    for (const mount of op.mounts) {
      if (mount.type === 'bind') mounts.push(await bindMount(mount, inputs, deps, io))
      else if (mount.type === 'cache')
        mounts.push(await cacheMount(mount, inputs, { held, own, runner: () => userOf(op, lower) }, deps, io))
      else if (mount.type === 'tmpfs') mounts.push(tmpfsMount(mount))
      else if (mount.type === 'secret') await addSecret(mount, deps.secrets, mounts, env)
      else sockets += await addSsh(mount, sockets, deps.secrets, mounts, hasSocket ? [] : env)
    }
    if (op.script) {
      mounts.push({ type: 'file', target: op.script.path, data: Buffer.from(op.script.text), mode: 0o755, uid: 0, gid: 0 })
    }
  } catch (error) {
    release()
    throw error
  }
  return { mounts, env, release }
}

function tmpfsMount(mount: Extract<ExecOpMount, { type: 'tmpfs' }>): ExecMount {
  const { target, size, readonly } = mount
  return { type: 'tmpfs', target, ...(size === undefined ? {} : { size }), ...(readonly ? { readonly } : {}) }
}

type BindOpMount = Extract<ExecOpMount, { type: 'bind' }>

async function bindMount(mount: BindOpMount, inputs: readonly Ref[], deps: ViewDeps, io: StepIo): Promise<ExecMount> {
  const directories = await sourceDirectories(mount.input === undefined ? undefined : inputs[mount.input], deps, io)
  return { type: 'bind', target: mount.target, directories, path: mount.source, writable: !mount.readonly }
}

/** Layer directories of a source; lowering makes the build context a snapshot before it is mounted. */
async function sourceDirectories(ref: Ref | undefined, { layers }: ViewDeps, { signal }: StepIo): Promise<string[]> {
  if (ref === undefined) return []
  if (ref.kind !== 'snapshot') throw new Error('only snapshots are mounted')
  return layers.directories(ref.layers, signal)
}

interface HeldMounts {
  readonly held: (() => void)[]
  /** What this RUN has already, by id and scope: a second mount of it is the same directory, however it is shared. */
  readonly own: Map<string, CacheMountUse>
  readonly runner: () => { readonly uid: number; readonly gid: number }
}

/** BuildKit gives a new cache to 0:0 (M6), which a RUN of another USER cannot write to; `--cache-mount-owner user` is for those. */
function cacheOwner(mount: CacheOpMount, cacheMountOwner: ExecDeps['cacheMountOwner'], runner: HeldMounts['runner']) {
  const { mode, uid, gid } = mount
  if (cacheMountOwner !== 'user' || mount.input !== undefined || uid !== undefined || gid !== undefined) return { mode, uid, gid }
  const user = runner()
  return user.uid === 0 && user.gid === 0 ? { mode, uid, gid } : { mode, uid: user.uid, gid: user.gid }
}

function userOf(op: ExecOp, lower: readonly string[]): { readonly uid: number; readonly gid: number } {
  return resolveUser(op.user, (path, limit) => readFileInRoot(layeredView(lower), path, limit))
}

async function cacheMount(
  mount: CacheOpMount,
  inputs: readonly Ref[],
  { held, own, runner }: HeldMounts,
  deps: ExecDeps,
  io: StepIo,
): Promise<ExecMount> {
  const seed = mount.input === undefined ? undefined : inputs[mount.input]
  // Mode and owner are ignored when a sub-directory of the source is shown (M6).
  const owner = mount.source === undefined ? cacheOwner(mount, deps.cacheMountOwner, runner) : {}
  // With a mode or an owner the cache is a new directory beside what `from` has.
  const owned = mount.source === undefined && (mount.mode ?? mount.uid ?? mount.gid) !== undefined
  const request: CacheMountRequest = {
    id: mount.cacheId ?? mount.target,
    scope: cacheScope(seed, owner),
    sharing: mount.sharing,
    ...owner,
    ...(seed === undefined || owned ? {} : { seed: (directory: string) => seedCache(seed, directory, deps, io) }),
  }
  const name = JSON.stringify([request.id, request.scope])
  let cache = own.get(name)
  if (cache === undefined) {
    const taken = await deps.cacheMounts.acquire(request, { signal: io.signal })
    held.push(() => taken.release())
    own.set(name, taken)
    cache = taken
  }
  return { type: 'cache', target: mount.target, directory: cache.directory, path: mount.source ?? '/', writable: !mount.readonly }
}

/** A cache with `from` begins as a copy of those files. */
async function seedCache(ref: Ref, directory: string, deps: ViewDeps, { signal }: StepIo): Promise<void> {
  const source: CopySource = { kind: 'path', view: await viewOf(ref, deps, signal), path: '/', unpack: false, resetOwner: false }
  const spec = { sources: [source], destination: '/', link: false, parents: false, exclude: [] }
  await copyInto(layerWriter(directory, layeredView([])), spec, { signal })
  const { mode } = source.view.root.stat
  const { uid, gid } = idMap().onDisk(source.view.root.stat)
  chownSync(directory, uid, gid)
  chmodSync(directory, mode & 0o7777)
}

/** Mode, owner and seed make a different cache of the same id (M5). */
function cacheScope(
  seed: Ref | undefined,
  owner: { mode?: number | undefined; uid?: number | undefined; gid?: number | undefined },
): string {
  const layers = seed?.kind === 'snapshot' ? seed.layers : []
  const { mode, uid, gid } = owner
  if (layers.length === 0 && (mode ?? uid ?? gid) === undefined) return ''
  return JSON.stringify([layers, mode ?? null, uid ?? null, gid ?? null])
}

/** M9–M11: a private file, a variable, or both; a missing optional secret leaves no file and an empty variable. */
async function addSecret(mount: SecretOpMount, secrets: SecretProvider, mounts: ExecMount[], env: string[]): Promise<void> {
  const data = await secrets.secret(mount.id, mount)
  if (data === undefined && mount.required) {
    throw new TbuildError('SECRET_MISSING', `secret ${mount.id}: not found`, { hint: `pass --secret id=${mount.id},src=FILE or ,env=NAME` })
  }
  if (mount.env !== undefined) env.push(`${mount.env}=${data === undefined ? '' : Buffer.from(data).toString('utf8')}`)
  if (mount.target !== undefined && data !== undefined) {
    mounts.push({ type: 'file', target: mount.target, data, mode: mount.mode, uid: mount.uid, gid: mount.gid })
  }
}

/** M12: the variable names the first socket, unless the command has it already, and numbers go on, also where there is no agent. */
async function addSsh(mount: SshOpMount, index: number, secrets: SecretProvider, mounts: ExecMount[], env: string[]): Promise<number> {
  const target = mount.target ?? `/run/buildkit/ssh_agent.${index}`
  if (index === 0) env.push(`SSH_AUTH_SOCK=${target}`)
  const socket = await secrets.ssh(mount.id, mount)
  if (socket === undefined) {
    if (!mount.required) return 1
    throw new TbuildError('SSH_MISSING', `unset ssh forward key ${mount.id}`, { hint: `pass --ssh ${mount.id}` })
  }
  mounts.push({ type: 'socket', target, socket, mode: mount.mode, uid: mount.uid, gid: mount.gid })
  return 1
}
