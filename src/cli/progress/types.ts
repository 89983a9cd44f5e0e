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
  /** False when the reader is behind: a picture that the next one covers can wait. */
  write(text: string): unknown
  /** When everything has been taken, or nobody is left to take it. */
  flushed?(): Promise<void>
}

/** A terminal that does not know its size (`script`, `ssh -tt`, `docker run -t` without one) says 0 and is taken for a common one. */
export function screenSize({ columns, rows }: Pick<Screen, 'columns' | 'rows'>): { readonly columns: number; readonly rows: number } {
  return { columns: columns || 80, rows: rows || 24 }
}
