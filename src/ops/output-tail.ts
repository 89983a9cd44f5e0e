const KEPT_BYTES = 64 * 1024
const SHOWN_LINES = 20

/** The end of a command's output, for the report of its failure. */
export class OutputTail {
  #chunks: Uint8Array[] = []
  #bytes = 0

  add(data: Uint8Array): void {
    this.#chunks.push(data)
    this.#bytes += data.length
    while (this.#chunks.length > 1 && this.#bytes - (this.#chunks[0] as Uint8Array).length >= KEPT_BYTES) {
      this.#bytes -= (this.#chunks.shift() as Uint8Array).length
    }
  }

  lines(): string[] {
    const text = Buffer.concat(this.#chunks).toString('utf8').trimEnd()
    return text === '' ? [] : text.split('\n').slice(-SHOWN_LINES)
  }
}
