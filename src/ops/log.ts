import type { HttpOp } from '../graph/op.ts'
import type { UrlStep } from './remotes.ts'
import type { StepIo } from './types.ts'

/** What a step says, as an event of its vertex; a promise that comes back is waited for by who makes output without end. */
export function writeLog({ vertex, emit }: StepIo, stream: 'stdout' | 'stderr', data: Uint8Array) {
  return emit({ type: 'log', id: vertex, stream, data, time: Date.now() })
}

/** How far the file of a URL is, as events of the vertex. */
export function urlStep({ vertex, signal, emit }: StepIo, { filename }: HttpOp): UrlStep {
  return {
    signal,
    onProgress: (current, total, done) =>
      emit({ type: 'progress', id: vertex, item: filename, current, ...(total === undefined ? {} : { total }), done, time: Date.now() }),
  }
}
