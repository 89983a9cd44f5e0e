import type { ContextOp, GitOp, HttpOp, ImageOp } from '../graph/op.ts'
import { makeLayer, snapshotRef } from './layer.ts'
import type { GitStep } from './remotes.ts'
import type { OpHandler, Tools } from './types.ts'

/** Ops without a root. Images and contexts are what they name and need no record; a URL and a repository are asked what they are now, and kept as a layer. */

export const imageHandler: OpHandler<ImageOp> = {
  async run(op, _inputs, tools) {
    return { kind: 'snapshot', layers: tools.remotes.image(op.digest, tools.vertex) }
  },
  asRoot: ({ digest }) => ({ image: digest }),
  deferred: true,
}

export const contextHandler: OpHandler<ContextOp> = {
  run: (op, _inputs, tools) => tools.contexts.files(op.name),
}

/** Key: what the server sent (F31). The URL is not in it: the same file from elsewhere is the same. */
export const httpHandler: OpHandler<HttpOp> = {
  async key(op, _inputs, tools) {
    const { name, digest, mtime } = await tools.remotes.file(op, tools.signal)
    return [
      { name: 'file', value: name },
      { name: 'content', value: digest },
      { name: 'modified', value: mtime },
    ]
  },

  async run(op, _inputs, tools) {
    const file = await tools.remotes.file(op, tools.signal)
    return snapshotRef(await makeLayer([], tools, (active) => tools.remotes.placeFile(file, active.upper)))
  },
  remote: true,
}

/** Key: the commit and what is taken of it (K16). */
export const gitHandler: OpHandler<GitOp> = {
  async key(op, _inputs, tools) {
    const { commit, ref } = await tools.remotes.commit(op, gitStep(tools))
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

  async run(op, _inputs, tools) {
    const step = gitStep(tools)
    const commit = await tools.remotes.commit(op, step)
    return snapshotRef(await makeLayer([], tools, (active) => tools.remotes.checkout(op, commit, active.upper, step)))
  },
  remote: true,
}

function gitStep({ signal, emit, vertex }: Tools): GitStep {
  return { signal, onOutput: (stream, data) => emit({ type: 'log', id: vertex, stream, data, time: Date.now() }) }
}
