/**
 * A regular expression that is anchored at both ends, tried in pieces × characters steps whatever both are: all places in the expression to which the
 * text read so far can have led are followed side by side, and none is gone back to (Thompson's way).
 *
 * The pieces are those of `translateGoRegExp` for an ignore pattern: `*` follows a piece that takes a character, groups are optional and not nested.
 */
export class LinearPattern {
  readonly #pieces: readonly Piece[]

  constructor(pieces: readonly string[]) {
    this.#pieces = pieces.map((_, at) => pieceAt(pieces, at))
  }

  test(text: string): boolean {
    const chars = [...text]
    let places = new Uint8Array(this.#pieces.length + 1)
    places[0] = 1
    for (let index = 0; index <= chars.length; index++) {
      const [before, char] = [chars[index - 1], chars[index]]
      const taken = new Uint8Array(places.length)
      // What leads on without a character leads forward, so that one pass meets all.
      this.#pieces.forEach(({ takes, repeats, holds, skips }, at) => {
        if (places[at] === 0) return
        if (holds?.(before, char)) places[at + 1] = 1
        for (const place of skips ?? []) places[place] = 1
        if (char !== undefined && takes?.test(char)) taken[repeats ? at : at + 1] = 1
      })
      if (char !== undefined) places = taken
    }
    return places[this.#pieces.length] === 1
  }
}

interface Piece {
  /** A character that leads on. */
  readonly takes?: RegExp
  /** A `*` follows. */
  readonly repeats?: boolean
  /** Between these two characters it leads on. */
  readonly holds?: (before: string | undefined, after: string | undefined) => boolean
  /** Places to which it leads without a character. */
  readonly skips?: readonly number[]
}

function pieceAt(pieces: readonly string[], at: number): Piece {
  const piece = pieces[at] as string
  const holds = ASSERTIONS[piece]
  if (holds !== undefined) return { holds }
  // A group may be left out: from its `(?:` to its `)`.
  if (MARKS.has(piece)) return { skips: piece === '(?:' ? [at + 1, pieces.indexOf(')', at)] : [at + 1] }
  const repeats = pieces[at + 1] === '*'
  return { takes: new RegExp(`^${piece}$`, 'u'), repeats, ...(repeats && { skips: [at + 1] }) }
}

const isWord = (char: string | undefined) => char !== undefined && /^[0-9A-Za-z_]$/.test(char)

const ASSERTIONS: Readonly<Record<string, NonNullable<Piece['holds']>>> = {
  '^': (before) => before === undefined,
  $: (_before, after) => after === undefined,
  '\\b': (before, after) => isWord(before) !== isWord(after),
  '\\B': (before, after) => isWord(before) === isWord(after),
}

const MARKS = new Set(['(?:', ')', '?', '*'])
