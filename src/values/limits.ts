/** How many bytes others may make this machine take in. */
export interface Limits {
  /** The file of a URL: of ADD, of a context, of a Dockerfile. */
  readonly url: number
  /** A git repository with its checkout, on disk. */
  readonly git: number
  /** What one layer or archive unpacks to, holes counted. */
  readonly unpack: number
}

const GIB = 2 ** 30

/** Far beyond what anybody builds, and an end of what was made to have none. */
export const DEFAULT_LIMITS: Limits = { url: 64 * GIB, git: 64 * GIB, unpack: 64 * GIB }

/** The sentence that helps whoever means it. */
export function limitHint(name: keyof Limits): string {
  return `if you trust it, raise the limit: --limit ${name}=SIZE, or ${name}=none`
}
