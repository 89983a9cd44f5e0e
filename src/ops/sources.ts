import type { ContextOp, GitOp, HttpOp, ImageOp } from '../graph/op.ts'
import type { OpHandler } from './types.ts'

/** Ops without a root: their output is what they name, so they need no record; readers are keyed by the content, a FROM by the manifest's digest. */

export const imageHandler: OpHandler<ImageOp> = {
  async key(op) {
    return [{ name: 'image', value: op.digest }]
  },
  async run(op, _inputs, tools) {
    return { kind: 'snapshot', layers: tools.remotes.image(op.digest, tools.vertex) }
  },
}

export const contextHandler: OpHandler<ContextOp> = {
  run: (op, _inputs, tools) => tools.contexts.files(op.name),
}

export const httpHandler: OpHandler<HttpOp> = {
  run: (op, _inputs, tools) => tools.remotes.http(op, tools.signal),
}

export const gitHandler: OpHandler<GitOp> = {
  run: (op, _inputs, tools) => tools.remotes.git(op, tools.signal),
}
