import type { Op } from '../graph/op.ts'
import { copyHandler } from './copy.ts'
import { execHandler } from './exec.ts'
import { contextHandler, gitHandler, httpHandler, imageHandler } from './sources.ts'
import type { OpHandler } from './types.ts'
import { workdirHandler } from './workdir.ts'

/** A kind without a handler does not compile, nor does a handler that takes what StepDeps has not. */
const HANDLERS: { readonly [K in Op['kind']]: OpHandler<Extract<Op, { kind: K }>> } = {
  image: imageHandler,
  context: contextHandler,
  http: httpHandler,
  git: gitHandler,
  exec: execHandler,
  copy: copyHandler,
  workdir: workdirHandler,
}

export function handlerOf(op: Op): OpHandler<Op> {
  return HANDLERS[op.kind] as OpHandler<Op>
}
