import { StringDecoder } from 'node:string_decoder'

/** A line longer than this is shown in pieces: a program that never ends its line must not fill the memory. */
const MAX_LINE = 64 * 1024

/** Cuts what a step prints into lines, both streams in the order in which it came, as a terminal would show it; bytes that are no UTF-8 become U+FFFD. */
export class LineSplitter {
  readonly #decoders = { stdout: new StringDecoder('utf8'), stderr: new StringDecoder('utf8') }
  #rest = ''

  /** The lines that this data completes, without their \n. */
  push(stream: 'stdout' | 'stderr', data: Uint8Array): string[] {
    const text = this.#rest + this.#decoders[stream].write(Buffer.from(data.buffer, data.byteOffset, data.byteLength))
    const lines = text.split('\n')
    let rest = lines.pop() ?? ''
    while (rest.length > MAX_LINE) {
      lines.push(rest.slice(0, MAX_LINE))
      rest = rest.slice(MAX_LINE)
    }
    this.#rest = rest
    return lines
  }

  /** The line that has no end yet: a question, perhaps. */
  get rest(): string {
    return this.#rest
  }

  /** What is left when the step has ended. */
  end(): string[] {
    const line = this.#rest + this.#decoders.stdout.end() + this.#decoders.stderr.end()
    this.#rest = ''
    return line === '' ? [] : [line]
  }
}
