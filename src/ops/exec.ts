import { isTbuildError, TbuildError } from '../base/errors.ts'
import { goQuote } from '../go/quote.ts'
import type { ExecOp } from '../graph/op.ts'
import type { ExecMount, ExecSpec } from '../sandbox/types.ts'
import { resolveUser } from '../sandbox/user.ts'
import type { ActiveLayer } from '../snapshot/types.ts'
import type { KeyPart } from '../store/types.ts'
import { readFileInRoot } from '../tree/read.ts'
import { restoreOwners } from '../tree/restore-owners.ts'
import { layeredView } from '../tree/view.ts'
import { idMap } from '../values/id-map.ts'
import { formatPlatform } from '../values/platform.ts'
import { settingsParts } from '../values/process-settings.ts'
import { looksSecret } from '../values/secret-name.ts'
import { mountKey, prepareMounts } from './exec-mounts.ts'
import { makeLayer, snapshotRef } from './layer.ts'
import { writeLog } from './log.ts'
import { OutputTail } from './output-tail.ts'
import { redacted } from './redacted.ts'
import type { ExecDeps, ExecKeyDeps, OpHandler, StepIo } from './types.ts'

/** RUN. Key: K2 and K3; a proxy and a secret's value are not in it. */
export const execHandler: OpHandler<ExecOp, ExecKeyDeps, ExecDeps> = {
  async key(op, inputs, deps, io) {
    const parts: KeyPart[] = [
      { name: 'args', value: op.args },
      ...op.env.map((item) => envPart(item)),
      { name: 'cwd', value: op.cwd },
      { name: 'user', value: op.user },
      { name: 'hostname', value: op.hostname },
      { name: 'network', value: op.network },
      { name: 'security', value: op.security },
      { name: 'platform', value: formatPlatform(op.platform) },
      ...settingsParts(op.settings),
      ...(op.script === undefined ? [] : [{ name: 'script', value: [op.script.path, op.script.text] }]),
    ]
    for (const [index, mount] of op.mounts.entries()) {
      parts.push({ name: `mount ${index + 1}`, value: await mountKey(mount, inputs, deps, io) })
    }
    return parts
  },

  async run(op, { root, inputs }, deps, io) {
    const tail = new OutputTail()
    const layers = await makeLayer(root, deps, io, async (active) => {
      const prepared = await prepareMounts(op, inputs, active.lower, deps, io)
      try {
        const exec = deps.sandbox.exec(execSpec(op, active, prepared), logTo(tail, io), io.signal)
        const status = await exec.catch((error: unknown) => Promise.reject(userFailure(op, error)))
        if (status.code !== 0) throw failure(op, status.code, status.oomKilled, tail)
      } finally {
        prepared.release()
      }
      await keepOwners(op, active, io.signal)
    })
    return snapshotRef(layers)
  },

  /** What only a new cache begins with. */
  optionalInputs: ({ mounts }) => mounts.flatMap(({ type, input }) => (type === 'cache' ? (input ?? []) : [])),
}

/** The store keeps no value of a variable that is named like a secret, only what tells it from another. */
function envPart(item: string): KeyPart {
  const at = item.indexOf('=')
  const [name, value] = [item.slice(0, at), item.slice(at + 1)]
  return { name: `env ${name}`, value: looksSecret(name) ? redacted(['env', name, value]) : value }
}

function execSpec(op: ExecOp, active: ActiveLayer, prepared: { mounts: readonly ExecMount[]; env: readonly string[] }): ExecSpec {
  return {
    rootfs: { lower: active.lower, upper: active.upper, work: active.work },
    args: op.args,
    env: [...op.env, ...op.proxyEnv, ...prepared.env],
    cwd: op.cwd,
    user: op.user,
    hostname: op.hostname,
    network: op.network,
    security: op.security,
    mounts: prepared.mounts,
    settings: op.settings,
  }
}

/** Where USER, or the owner of a file below, is not one of our user namespace, owners are data: those of what the command made are known now. */
async function keepOwners(op: ExecOp, active: ActiveLayer, signal: AbortSignal): Promise<void> {
  const ids = idMap()
  if (ids.whole) return
  const lower = layeredView(active.lower)
  const user = resolveUser(op.user, (path, limit) => readFileInRoot(lower, path, limit))
  const creator = ids.hasUid(user.uid) && ids.hasGid(user.gid) ? undefined : { uid: user.uid, gid: user.gid }
  await restoreOwners(active.upper, lower, creator, signal)
}

function logTo(tail: OutputTail, io: StepIo) {
  const write = (stream: 'stdout' | 'stderr') => (data: Uint8Array) => {
    tail.add(data)
    return writeLog(io, stream, data)
  }
  return { stdout: write('stdout'), stderr: write('stderr') }
}

const incomplete = (op: ExecOp, why: string) => `process ${goQuote(op.args.join(' '))} did not complete successfully: ${why}`

/** A USER that the image does not have fails the process, by BuildKit's words (W14). */
function userFailure(op: ExecOp, error: unknown): unknown {
  if (!isTbuildError(error) || !['USER_UNKNOWN', 'USER_INVALID'].includes(error.code)) return error
  const { code, message, hint } = error
  return new TbuildError(code, incomplete(op, message), { cause: error, ...(hint === undefined ? {} : { hint }) })
}

/** The failing command's own code is the build's. */
function failure(op: ExecOp, code: number, oomKilled: boolean, tail: OutputTail): TbuildError {
  const reason = oomKilled ? ' (it ran out of memory)' : ''
  return new TbuildError('RUN_FAILED', incomplete(op, `exit code: ${code}${reason}`), {
    exitCode: code,
    output: tail.lines(),
  })
}
