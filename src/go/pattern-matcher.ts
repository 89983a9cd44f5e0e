import { TbuildError } from '../base/errors.ts'
import { decodeName } from '../base/utf8.ts'
import { compileIgnorePattern } from './ignore-pattern.ts'
import { GoPattern } from './match.ts'
import { cleanPath } from './path.ts'
import { trimSpace } from './space.ts'

/** The outcome for one path, to be handed to its children. */
export interface MatchState {
  readonly matched: boolean
  /** Index of the pattern that decided, -1 when none matched. */
  readonly by: number
  /** For each pattern, whether it matched this path or a parent. */
  readonly each: readonly boolean[]
}

/** One compiled pattern. */
export interface Pattern {
  /** Without the `!`. */
  readonly cleaned: string
  readonly exclusion: boolean
  readonly test: (path: string) => boolean
}

/**
 * moby's patternmatcher, for ignore files and COPY --exclude (D3, F23): the last matching pattern wins, a pattern that matches a directory matches what
 * is in it, `!` takes back. Paths are relative, with slashes; a name that is not UTF-8 is matched byte by byte (utf8.ts).
 *
 * A walk asks for parents first and hands their state to the children (`step`), as BuildKit's walk does. That is not only faster: a pattern that was
 * passed over for the parent, because it could not change the outcome there, does not cover the children (`a/b`, `!a` keeps a/b out).
 */
export class PatternMatcher {
  readonly hasExclusions: boolean
  readonly #patterns: readonly Pattern[]
  /** The directory asked for last: `resolve` is mostly called for its files in turn. */
  #last: { directory: string; state: MatchState | undefined } = { directory: '', state: undefined }

  constructor(patterns: readonly Pattern[]) {
    this.#patterns = patterns
    this.hasExclusions = this.#patterns.some(({ exclusion }) => exclusion)
  }

  /** Throws PATTERN_INVALID with Go's text. */
  static compile(patterns: readonly string[]): PatternMatcher {
    return new PatternMatcher(patterns.map(compilePattern))
  }

  get isEmpty(): boolean {
    return this.#patterns.length === 0
  }

  /** A path whose parent directory had the state `parent`; undefined at the top level. */
  step(path: string | Uint8Array, parent?: MatchState): MatchState {
    const name = decodeName(path)
    let matched = false
    let by = -1
    const each = this.#patterns.map((pattern, index) => {
      const match = (parent?.each[index] ?? false) || (pattern.exclusion === matched && pattern.test(name))
      if (match) {
        matched = !pattern.exclusion
        by = index
      }
      return match
    })
    return { matched, by, each }
  }

  /** The state of any path, by steps from the top. */
  resolve(path: string | Uint8Array): MatchState {
    const name = decodeName(path)
    const slash = name.lastIndexOf('/')
    return this.step(name, slash < 0 ? undefined : this.#directory(name.slice(0, slash)))
  }

  matches(path: string | Uint8Array): boolean {
    return this.resolve(path).matched
  }

  /** Whether something under this directory, itself matched, may be taken back by a `!`: otherwise a walk need not enter it (D4). */
  mayReinclude(directory: string | Uint8Array): boolean {
    const prefix = `${decodeName(directory)}/`
    return this.#patterns.some(({ exclusion, cleaned }) => {
      if (!exclusion) return false
      const literal = cleaned.replace(/\/\*\*$/, '').replace(/\/\*$/, '')
      return /[*[\]?^\\]/.test(literal) || `${literal}/`.startsWith(prefix)
    })
  }

  #directory(directory: string): MatchState {
    if (this.#last.state === undefined || this.#last.directory !== directory) this.#last = { directory, state: this.resolve(directory) }
    return this.#last.state as MatchState
  }
}

/**
 * White space around it and a needless `./` are dropped; a blank pattern matches nothing. Throws PATTERN_INVALID with Go's text where filepath.Match would not
 * take it; what only the regular expression of it cannot say (`i\j`) is an error of the first path that it is asked about, if there is one.
 */
export function compilePattern(text: string): Pattern {
  const trimmed = trimSpace(text)
  if (trimmed === '') return { cleaned: '', exclusion: false, test: () => false }
  const whole = cleanPath(trimmed)
  const exclusion = whole.startsWith('!')
  const cleaned = exclusion ? whole.slice(1) : whole
  if (cleaned === '') throw new TbuildError('PATTERN_INVALID', 'illegal exclusion pattern: "!"')
  GoPattern.compile(cleaned)
  let test: Pattern['test'] | undefined
  return {
    cleaned,
    exclusion,
    test: (path) => {
      test ??= compileIgnorePattern(cleaned)
      return test(path)
    },
  }
}
