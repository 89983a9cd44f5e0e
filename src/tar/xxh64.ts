/** XXH64 with seed 0 (xxhash_spec.md), for the checksums of zstd. Numbers of 64 bits are two halves of 32: BigInt would be twenty times slower. */

const P1 = 0x9e3779b185ebca87n
const P2 = 0xc2b2ae3d27d4eb4fn
const P3 = 0x165667b19e3779f9n
const P4 = 0x85ebca77c2b2ae63n
const P5 = 0x27d4eb2f165667c5n
const STRIPE = 32

const low = (value: bigint) => Number(BigInt.asIntN(32, value))
const high = (value: bigint) => Number(BigInt.asIntN(32, value >> 32n))
const P1_LOW = low(P1)
const P1_HIGH = high(P1)
const P2_LOW = low(P2)
const P2_HIGH = high(P2)

export class Xxh64 {
  /** Four numbers, the low half of each first. */
  readonly #lanes = Int32Array.from([P1 + P2, P2, 0n, -P1].flatMap((lane) => [low(lane), high(lane)]))
  /** The stripe that is not full yet. */
  readonly #rest = Buffer.alloc(STRIPE)
  #length = 0

  update(bytes: Uint8Array): void {
    const have = this.#length % STRIPE
    this.#length += bytes.length
    let at = 0
    if (have > 0) {
      at = Math.min(STRIPE - have, bytes.length)
      this.#rest.set(bytes.subarray(0, at), have)
      if (have + at < STRIPE) return
      this.#stripes(this.#rest)
    }
    const whole = bytes.length - ((bytes.length - at) % STRIPE)
    if (whole > at) this.#stripes(bytes.subarray(at, whole))
    this.#rest.set(bytes.subarray(whole))
  }

  /** Of what came so far. */
  digest(): bigint {
    let sum = this.#length < STRIPE ? P5 : this.#merged()
    sum += BigInt(this.#length)
    const rest = this.#rest.subarray(0, this.#length % STRIPE)
    let at = 0
    for (; at + 8 <= rest.length; at += 8) sum = rotate(sum ^ mixed(rest.readBigUInt64LE(at)), 27n) * P1 + P4
    if (at + 4 <= rest.length) {
      sum = rotate(sum ^ (BigInt(rest.readUInt32LE(at)) * P1), 23n) * P2 + P3
      at += 4
    }
    for (; at < rest.length; at += 1) sum = rotate(sum ^ (BigInt(rest[at] as number) * P5), 11n) * P1
    sum = wrap(sum)
    sum = wrap((sum ^ (sum >> 33n)) * P2)
    sum = wrap((sum ^ (sum >> 29n)) * P3)
    return sum ^ (sum >> 32n)
  }

  #merged(): bigint {
    const lanes = [0, 2, 4, 6].map(
      (at) => BigInt.asUintN(32, BigInt(this.#lanes[at] as number)) | (BigInt(this.#lanes[at + 1] as number) << 32n),
    )
    const [one, two, three, four] = lanes as [bigint, bigint, bigint, bigint]
    const sum = rotate(one, 1n) + rotate(two, 7n) + rotate(three, 12n) + rotate(four, 18n)
    return lanes.reduce((merged, lane) => wrap((merged ^ mixed(lane)) * P1 + P4), wrap(sum))
  }

  #stripes(bytes: Uint8Array): void {
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
    const lanes = this.#lanes
    for (let at = 0; at < bytes.length; at += 8) {
      const lane = (at >> 2) & 6
      const low = multiply(view.getInt32(at, true), view.getInt32(at + 4, true), P2_LOW, P2_HIGH)
      const sum = (low >>> 0) + ((lanes[lane] as number) >>> 0)
      const sumLow = sum | 0
      const sumHigh = (productHigh + (lanes[lane + 1] as number) + (sum > 0xffffffff ? 1 : 0)) | 0
      lanes[lane] = multiply((sumLow << 31) | (sumHigh >>> 1), (sumHigh << 31) | (sumLow >>> 1), P1_LOW, P1_HIGH)
      lanes[lane + 1] = productHigh
    }
  }
}

/** The other half of what `multiply` returns. */
let productHigh = 0

/** The low half of the product's low 64 bits, by pieces of 16 bits: each sum stays below 2^32. */
function multiply(aLow: number, aHigh: number, bLow: number, bHigh: number): number {
  const a0 = aLow & 0xffff
  const a1 = aLow >>> 16
  const b0 = bLow & 0xffff
  const b1 = bLow >>> 16
  const bottom = a0 * b0
  const middle = a1 * b0 + (bottom >>> 16)
  const other = a0 * b1 + (middle & 0xffff)
  productHigh = (a1 * b1 + (middle >>> 16) + (other >>> 16) + Math.imul(aLow, bHigh) + Math.imul(aHigh, bLow)) | 0
  return (other << 16) | (bottom & 0xffff)
}

function wrap(value: bigint): bigint {
  return BigInt.asUintN(64, value)
}

function rotate(value: bigint, bits: bigint): bigint {
  const wrapped = wrap(value)
  return wrap((wrapped << bits) | (wrapped >> (64n - bits)))
}

function mixed(lane: bigint): bigint {
  return wrap(rotate(lane * P2, 31n) * P1)
}
