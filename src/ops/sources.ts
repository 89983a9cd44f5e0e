import type { ContextOp, GitOp, HttpOp, ImageOp } from '../graph/op.ts'
import { makeLayer, snapshotRef } from './layer.ts'
import { urlStep, writeLog } from './log.ts'
import type { GitStep } from './remotes.ts'
import type { ContextDeps, ImageDeps, OpHandler, RemoteDeps, RemoteKeyDeps, StepIo } from './types.ts'

/** Ops without a root. Images and contexts are what they name and need no record; a URL and a repository are asked what they are now, and kept as a layer. */

export const imageHandler: OpHandler<ImageOp, unknown, ImageDeps> = {
  async run(op, _inputs, { remotes }, { vertex }) {
    return { kind: 'snapshot', layers: remotes.image(op.digest, vertex) }
  },
  asRoot: ({ digest }) => ({ image: digest }),
  deferred: true,
}

export const contextHandler: OpHandler<ContextOp, unknown, ContextDeps> = {
  run: (op, _inputs, { contexts }) => contexts.files(op.name),
}

/** Key: what the server sent (F31). The URL is not in it: the same file from elsewhere is the same. */
export const httpHandler: OpHandler<HttpOp, RemoteKeyDeps, RemoteDeps> = {
  async key(op, _inputs, { remotes }, io) {
    const { name, digest, mtime } = await remotes.file(op, urlStep(io, op))
    return [
      { name: 'file', value: name },
      { name: 'content', value: digest },
      { name: 'modified', value: mtime },
    ]
  },

  async run(op, _inputs, deps, io) {
    const file = await deps.remotes.file(op, urlStep(io, op))
    return snapshotRef(await makeLayer([], deps, io, (active) => deps.remotes.placeFile(file, active.upper)))
  },
  remote: true,
}

/** Key: the commit and what is taken of it (K16). */
export const gitHandler: OpHandler<GitOp, RemoteKeyDeps, RemoteDeps> = {
  async key(op, _inputs, { remotes }, io) {
    const { commit, ref } = await remotes.commit(op, gitStep(io))
    return [
      { name: 'commit', value: commit },
      // Relative submodules are found from it.
      { name: 'remote', value: op.remote },
      { name: 'subdir', value: op.subdir ?? null },
      { name: 'submodules', value: op.submodules },
      { name: 'mtime', value: op.mtime ?? 'checkout' },
      { name: 'keep-git-dir', value: op.keepGitDir ? (ref?.name ?? true) : false },
    ]
  },

  async run(op, _inputs, deps, io) {
    const step = gitStep(io)
    const commit = await deps.remotes.commit(op, step)
    return snapshotRef(await makeLayer([], deps, io, (active) => deps.remotes.checkout(op, commit, active.upper, step)))
  },
  remote: true,
}

function gitStep(io: StepIo): GitStep {
  return { signal: io.signal, onOutput: (stream, data) => writeLog(io, stream, data) }
}
