import type { BuildEvent } from '../base/events.ts'
import type { SourceFile, Span } from '../base/span.ts'

/** Before a record: the bytes of its JSON and those of what was logged, two numbers of 32 bits. */
const HEADER = 8

type WrittenSpan = Pick<Span, 'start' | 'end'> & { readonly file: number }

/**
 * Events as bytes and back: `header JSON data`, so that what is logged is not encoded. Files that spans are in are few, and stay in memory.
 */
export class EventRecords {
  readonly #files: SourceFile[] = []

  encode(event: BuildEvent): Buffer {
    const { data, rest } = event.type === 'log' ? split(event) : { data: Buffer.alloc(0), rest: event }
    const json = Buffer.from(JSON.stringify('span' in rest && rest.span ? { ...rest, span: this.#written(rest.span) } : rest))
    const header = Buffer.alloc(HEADER)
    header.writeUInt32LE(json.length, 0)
    header.writeUInt32LE(data.length, 4)
    return Buffer.concat([header, json, data])
  }

  /** The events of whole records. */
  *decode(bytes: Buffer): Generator<BuildEvent> {
    for (let at = 0; at < bytes.length; ) {
      const from = at + HEADER
      const end = from + bytes.readUInt32LE(at)
      at = end + bytes.readUInt32LE(at + 4)
      const event = JSON.parse(bytes.toString('utf8', from, end))
      if (event.span) event.span = this.#read(event.span)
      // Of its own: an event that somebody keeps must not keep all that was read with it.
      if (event.type === 'log') event.data = new Uint8Array(bytes.subarray(end, at))
      yield event
    }
  }

  #written({ file, start, end }: Span): WrittenSpan {
    const known = this.#files.indexOf(file)
    return { file: known < 0 ? this.#files.push(file) - 1 : known, start, end }
  }

  #read({ file, start, end }: WrittenSpan): Span {
    return { file: this.#files[file] as SourceFile, start, end }
  }
}

/** How many of the bytes are whole records; those of the first record, which may be more than there are; 0 when even its header is not whole. */
export function wholeRecords(bytes: Buffer): { readonly whole: number; readonly first: number } {
  let whole = 0
  let first = 0
  while (whole + HEADER <= bytes.length) {
    const size = HEADER + bytes.readUInt32LE(whole) + bytes.readUInt32LE(whole + 4)
    if (whole === 0) first = size
    if (whole + size > bytes.length) break
    whole += size
  }
  return { whole, first }
}

function split({ data, ...rest }: Extract<BuildEvent, { type: 'log' }>) {
  return { data, rest }
}
