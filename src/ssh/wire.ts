import { TbuildError } from '../base/errors.ts'

/** Reads the fields of RFC 4251, section 5: every length is checked against what is there. Throws SSH_DATA. */
export class WireReader {
  readonly #data: Buffer
  #at = 0

  constructor(data: Buffer) {
    this.#data = data
  }

  uint32(): number {
    return this.bytes(4).readUInt32BE()
  }

  string(): Buffer {
    return this.bytes(this.uint32())
  }

  text(): string {
    return this.string().toString('utf8')
  }

  /** A number of any size as its bytes, without the zero that keeps it positive. */
  mpint(): Buffer {
    const data = this.string()
    let start = 0
    while (start < data.length && data[start] === 0) start += 1
    return data.subarray(start)
  }

  bytes(length: number): Buffer {
    if (length > this.#data.length - this.#at) throw new TbuildError('SSH_DATA', 'ssh: unexpected end of data')
    this.#at += length
    return this.#data.subarray(this.#at - length, this.#at)
  }
}

export function uint32(value: number): Buffer {
  const data = Buffer.alloc(4)
  data.writeUInt32BE(value)
  return data
}

export function string(value: Buffer | string): Buffer {
  const data = Buffer.from(value)
  return Buffer.concat([uint32(data.length), data])
}

/** A positive number from its bytes, big-endian. */
export function mpint(value: Buffer): Buffer {
  let start = 0
  while (start < value.length && value[start] === 0) start += 1
  const digits = value.subarray(start)
  return string((digits[0] ?? 0) & 0x80 ? Buffer.concat([Buffer.of(0), digits]) : digits)
}
