import { TbuildError } from '../base/errors.ts'
import { decodeRune } from '../base/utf8.ts'
import { cleanPath } from './path.ts'

/** One byte, any character but a slash, or a class of code points. */
type Item = number | 'any' | CharacterClass

interface CharacterClass {
  readonly negated: boolean
  readonly ranges: readonly (readonly [low: number, high: number])[]
}

/** The items between two stars. A malformed chunk ends the list: Go finds it out when it gets there. */
interface Chunk {
  readonly star: boolean
  readonly items: readonly Item[]
  readonly malformed: boolean
}

const code = (char: string) => char.charCodeAt(0)
const SLASH = code('/')

/**
 * A pattern of Go's filepath.Match (F6): `*` and `?` stop at a slash, `[a-z]` and `[^a-z]` do not, `\` escapes, no `**` and no braces. Names are matched
 * as bytes, chunk by chunk without going back, which is what Go does.
 */
export class GoPattern {
  readonly #chunks: readonly Chunk[]

  private constructor(chunks: readonly Chunk[]) {
    this.#chunks = chunks
  }

  /** Throws PATTERN_INVALID unless the whole pattern is well-formed. */
  static compile(pattern: string | Uint8Array): GoPattern {
    const compiled = GoPattern.parse(pattern)
    if (compiled.#chunks.some(({ malformed }) => malformed)) throw badPattern()
    return compiled
  }

  /** A malformed part fails only names that are matched up to it. */
  static parse(pattern: string | Uint8Array): GoPattern {
    return new GoPattern(parse(typeof pattern === 'string' ? Buffer.from(pattern) : pattern))
  }

  /** Throws PATTERN_INVALID only for what `parse` let through. */
  matches(name: string | Uint8Array): boolean {
    const bytes = typeof name === 'string' ? Buffer.from(name) : name
    let at = 0
    for (const [index, chunk] of this.#chunks.entries()) {
      if (chunk.malformed) throw badPattern()
      const last = index === this.#chunks.length - 1
      if (last && chunk.star && chunk.items.length === 0) return !bytes.includes(SLASH, at)
      let end = matchChunk(chunk, bytes, at)
      for (let skip = at; !accepts(end, last, bytes) && chunk.star && skip < bytes.length && bytes[skip] !== SLASH; skip++) {
        end = matchChunk(chunk, bytes, skip + 1)
      }
      if (end === undefined || !accepts(end, last, bytes)) return false
      at = end
    }
    return at === bytes.length
  }
}

/** filepath.Match; throws PATTERN_INVALID (`syntax error in pattern`) when it comes to a malformed part. */
export function goMatch(pattern: string | Uint8Array, name: string | Uint8Array): boolean {
  return GoPattern.parse(pattern).matches(name)
}

/** The last chunk must end where the name ends. */
function accepts(end: number | undefined, last: boolean, name: Uint8Array): boolean {
  return end !== undefined && (!last || end === name.length)
}

/** Where the chunk ends when it matches at `at`. */
function matchChunk(chunk: Chunk, name: Uint8Array, at: number): number | undefined {
  let position = at
  for (const item of chunk.items) {
    if (position >= name.length) return undefined
    if (typeof item === 'number') {
      if (name[position] !== item) return undefined
      position++
      continue
    }
    const { rune, size } = decodeRune(name, position)
    if (item === 'any' ? rune === SLASH : !inClass(item, rune)) return undefined
    position += size
  }
  return position
}

function inClass({ negated, ranges }: CharacterClass, rune: number): boolean {
  return ranges.some(([low, high]) => low <= rune && rune <= high) !== negated
}

function parse(pattern: Uint8Array): Chunk[] {
  const chunks: Chunk[] = []
  for (let at = 0; at < pattern.length; ) {
    const star = pattern[at] === code('*')
    while (pattern[at] === code('*')) at++
    const items: Item[] = []
    while (at < pattern.length && pattern[at] !== code('*')) {
      const parsed = parseItem(pattern, at)
      if (parsed === undefined) return [...chunks, { star, items, malformed: true }]
      items.push(parsed.item)
      at = parsed.next
    }
    chunks.push({ star, items, malformed: false })
  }
  return chunks
}

function parseItem(pattern: Uint8Array, at: number): { item: Item; next: number } | undefined {
  const byte = pattern[at] as number
  if (byte === code('?')) return { item: 'any', next: at + 1 }
  if (byte === code('[')) return parseClass(pattern, at + 1)
  if (byte !== code('\\')) return { item: byte, next: at + 1 }
  const escaped = pattern[at + 1]
  return escaped === undefined ? undefined : { item: escaped, next: at + 2 }
}

/** From behind the `[` to its `]`. A range without its end, an empty class or an unescaped `-` in front makes it malformed. */
function parseClass(pattern: Uint8Array, from: number): { item: CharacterClass; next: number } | undefined {
  const negated = pattern[from] === code('^')
  const ranges: [number, number][] = []
  let at = negated ? from + 1 : from
  while (ranges.length === 0 || pattern[at] !== code(']')) {
    const low = parseMember(pattern, at)
    const high = low !== undefined && pattern[low.next] === code('-') ? parseMember(pattern, low.next + 1) : low
    if (low === undefined || high === undefined) return undefined
    ranges.push([low.rune, high.rune])
    at = high.next
  }
  return { item: { negated, ranges }, next: at + 1 }
}

/** A character of a class, which cannot be the last of the pattern. */
function parseMember(pattern: Uint8Array, from: number): { rune: number; next: number } | undefined {
  if (pattern[from] === code('-') || pattern[from] === code(']')) return undefined
  const at = pattern[from] === code('\\') ? from + 1 : from
  if (at >= pattern.length) return undefined
  const { rune, size } = decodeRune(pattern, at)
  return (rune === 0xfffd && size === 1) || at + size >= pattern.length ? undefined : { rune, next: at + size }
}

function badPattern(): TbuildError {
  return new TbuildError('PATTERN_INVALID', 'syntax error in pattern', {
    hint: 'close every [ with ], and write \\[ for the character itself',
  })
}

/** Whether a path has an unescaped `*`, `?` or `[`. */
export function hasWildcard(path: string): boolean {
  return /[*?[]/.test(path.replace(/\\[\s\S]?/g, ''))
}

/**
 * Where a walk for the wildcards of a COPY source starts: `base` is the cleaned path before the first component with a wildcard ('' for none),
 * `pattern` the rest, which must match a path relative to the base. A directory that matches is not entered. `components` are patterns for one level
 * each, so that a walk looks only where a match can be; absent when a class may match a slash, so that levels mean nothing.
 */
export function splitWildcard(path: string): { base: string; pattern: string; components?: readonly string[] } {
  const parts = cleanPath(path).split('/')
  const first = parts.findIndex(hasWildcard)
  if (first < 0) return { base: parts.join('/'), pattern: '' }
  const base = parts.slice(0, first).join('/')
  const pattern = parts.slice(first).join('/')
  const slashes = parse(Buffer.from(pattern)).some(({ items }) => items.some((item) => typeof item === 'object' && inClass(item, SLASH)))
  return { base: base === '' && path.startsWith('/') ? '/' : base, pattern, ...(slashes ? {} : { components: parts.slice(first) }) }
}
