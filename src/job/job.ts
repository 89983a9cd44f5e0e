import type { BuildEvent } from '../base/events.ts'
import { build } from '../build.ts'
import type { BuildHooks, BuildOptions, BuildResult } from '../build-options.ts'
import { openLayout } from '../store/layout.ts'
import { storeRoot } from '../this-machine/store-root.ts'
import { ThisMachine } from '../this-machine/this-machine.ts'
import { diskSpace, EventLog } from './event-log.ts'

/** Work that is under way, for any number of watchers. */
export interface Job<T> {
  /** Each iteration begins at the first event, follows what comes, and ends with the job; the last event of one that fails is `error`. A slow reader stops nobody. */
  readonly events: AsyncIterable<BuildEvent>
  /** What the work resolves to or rejects with. A failure that nobody waits for is no unhandled one: it is an event, too. */
  readonly result: Promise<T>
  /** Ends it as `signal` does: CANCELED. */
  cancel(): void
  /** Gives up the events, which take room in the store as long as the process lives; iterations that have not come to the end reject with EVENTS_LOST. */
  close(): Promise<void>
}

/** Begins a build. What `hooks` has is called as in `build`: a promise of its `onEvent` is waited for. */
export function startBuild(options: BuildOptions, hooks: BuildHooks = {}): Job<BuildResult> {
  const folder = () => openLayout(storeRoot(options.root, new ThisMachine(options))).tmp
  return startJob((own) => build(options, own), hooks, folder)
}

function startJob<T>(work: (hooks: BuildHooks) => Promise<T>, hooks: BuildHooks, folder: () => string): Job<T> {
  const stop = new AbortController()
  const log = new EventLog(folder, diskSpace)
  const onEvent = (event: BuildEvent) => {
    const [kept, taken] = [log.append(event), hooks.onEvent?.(event)]
    return kept === undefined ? taken : Promise.all([kept, taken])
  }
  const signal = hooks.signal === undefined ? stop.signal : AbortSignal.any([hooks.signal, stop.signal])
  const result = work({ ...hooks, onEvent, signal }).finally(() => log.end())
  result.catch(() => {})
  return { events: log, result, cancel: () => stop.abort(), close: () => log.close() }
}
