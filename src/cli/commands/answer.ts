/** What a question brought, to be printed one way or the other. */
export interface Answer {
  text(): string
  json(): object
  readonly status: number
  /** Reported after what was found. */
  readonly error?: unknown
}
