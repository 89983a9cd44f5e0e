import { StringDecoder } from 'node:string_decoder'

/** A line longer than this is shown in pieces: a program that never ends its line must not fill the memory. */
const MAX_LINE = 64 * 1024

/** Cuts the two streams of a step into lines; bytes that are no UTF-8 become U+FFFD. */
export class LineSplitter {
  private readonly decoders = { stdout: new StringDecoder('utf8'), stderr: new StringDecoder('utf8') }
  private readonly rest = { stdout: '', stderr: '' }

  /** The lines that this data completes, without their \n. */
  push(stream: 'stdout' | 'stderr', data: Uint8Array): string[] {
    const text = this.rest[stream] + this.decoders[stream].write(Buffer.from(data.buffer, data.byteOffset, data.byteLength))
    const lines = text.split('\n')
    let rest = lines.pop() ?? ''
    while (rest.length > MAX_LINE) {
      lines.push(rest.slice(0, MAX_LINE))
      rest = rest.slice(MAX_LINE)
    }
    this.rest[stream] = rest
    return lines
  }

  /** What is left when the step has ended. */
  end(): string[] {
    const lines = [this.rest.stdout + this.decoders.stdout.end(), this.rest.stderr + this.decoders.stderr.end()]
    this.rest.stdout = ''
    this.rest.stderr = ''
    return lines.filter((line) => line !== '')
  }
}
