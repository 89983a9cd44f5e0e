import type { BuildEvent } from '../../base/events.ts'

/** Draws the events of one build. Everything goes to stderr: stdout is for results. */
export interface Display {
  event(event: BuildEvent): void
  /** After the last event: stops what moves and prints the warnings. `failed` leaves out the summary. */
  close(failed: boolean): void
}

/** The part of a stream that displays use. */
export interface Screen {
  readonly isTTY?: boolean
  readonly columns?: number | undefined
  readonly rows?: number | undefined
  write(text: string): unknown
}
