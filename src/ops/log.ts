import type { StepIo } from './types.ts'

/** What a step says, as an event of its vertex; a promise that comes back is waited for by who makes output without end. */
export function writeLog({ vertex, emit }: StepIo, stream: 'stdout' | 'stderr', data: Uint8Array) {
  return emit({ type: 'log', id: vertex, stream, data, time: Date.now() })
}
