import { TbuildError } from './errors.ts'
import { cleanPath } from './go-path.ts'
import { decodeRune } from './utf8.ts'

/** One byte, any character but a slash, or a class of code points. */
type Item = number | 'any' | CharacterClass

interface CharacterClass {
  readonly negated: boolean
  readonly ranges: readonly (readonly [low: number, high: number])[]
}

/** The items between two stars. */
interface Chunk {
  readonly star: boolean
  readonly items: readonly Item[]
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

  /** Throws PATTERN_INVALID. */
  static compile(pattern: string | Uint8Array): GoPattern {
    return new GoPattern(parse(typeof pattern === 'string' ? Buffer.from(pattern) : pattern))
  }

  matches(name: string | Uint8Array): boolean {
    const bytes = typeof name === 'string' ? Buffer.from(name) : name
    let at = 0
    for (const [index, chunk] of this.#chunks.entries()) {
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

/** filepath.Match; throws PATTERN_INVALID (`syntax error in pattern`). */
export function goMatch(pattern: string, name: string | Uint8Array): boolean {
  return GoPattern.compile(pattern).matches(name)
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
      const byte = pattern[at++] as number
      if (byte === code('?')) items.push('any')
      else if (byte === code('[')) {
        const parsed = parseClass(pattern, at)
        items.push(parsed.item)
        at = parsed.next
      } else if (byte !== code('\\')) items.push(byte)
      else {
        if (at === pattern.length) throw badPattern()
        items.push(pattern[at++] as number)
      }
    }
    chunks.push({ star, items })
  }
  return chunks
}

function parseClass(pattern: Uint8Array, from: number): { item: CharacterClass; next: number } {
  const negated = pattern[from] === code('^')
  let at = negated ? from + 1 : from
  const ranges: [number, number][] = []
  const character = () => {
    if (pattern[at] === undefined || pattern[at] === code('-') || pattern[at] === code(']')) throw badPattern()
    if (pattern[at] === code('\\')) at++
    if (at >= pattern.length) throw badPattern()
    const { rune, size } = decodeRune(pattern, at)
    at += size
    if ((rune === 0xfffd && size === 1) || at >= pattern.length) throw badPattern()
    return rune
  }
  while (ranges.length === 0 || pattern[at] !== code(']')) {
    const low = character()
    let high = low
    if (pattern[at] === code('-')) {
      at++
      high = character()
    }
    ranges.push([low, high])
  }
  return { item: { negated, ranges }, next: at + 1 }
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
