import type { Digest } from './digest.ts'
import type { Verdict } from './explanation.ts'
import type { Span } from './span.ts'

/**
 * What the engine tells while it works. The engine never prints: `onEvent` of `build()` receives these, the CLI draws them,
 * `--progress rawjson` writes them one a line. Times are milliseconds since the epoch.
 *
 * A vertex is announced by `vertex`, then runs through `started` → (`log` | `progress`)* → `done` | `failed`. `id` is unique in one build.
 * `explain` comes once a step, when it was asked for. `error` is what the whole ends with, and the last event.
 */
export type BuildEvent =
  | { type: 'vertex'; id: string; digest: Digest; inputs: readonly Digest[]; name: string; stage?: string; span?: Span }
  | { type: 'started'; id: string; time: number }
  | { type: 'log'; id: string; stream: 'stdout' | 'stderr'; data: Uint8Array; time: number }
  | { type: 'progress'; id: string; item: string; current: number; total?: number; done: boolean; time: number }
  | { type: 'done'; id: string; time: number; cached: boolean }
  | { type: 'failed'; id: string; time: number; canceled: boolean; message: string }
  | { type: 'warning'; rule: string; message: string; detail?: string; url?: string; span?: Span }
  | { type: 'notice'; message: string }
  | { type: 'explain'; id: string; verdict: Verdict }
  | { type: 'error'; code: string; message: string; span?: Span; hint?: string }

/** A promise that it returns is waited for by those who make output without end (`log`, `progress`): the step's pipe fills, and the step waits. */
export type OnEvent = (event: BuildEvent) => unknown

/** What work needs to say how it gets on, and to be stopped by. */
export interface Progress {
  readonly onEvent: OnEvent
  readonly signal: AbortSignal
}
