import { createHash } from 'node:crypto'
import { describe, expect, test } from '@jest/globals'
import fc from 'fast-check'
import { hexOf, RunningHash, sha256, sha256Hex } from '../../../src/base/digest.ts'
import { randomHex } from '../../../src/base/random.ts'
import { sys } from '../../../src/base/sys.ts'

const node = (...pieces: readonly (string | Uint8Array)[]) => {
  const hash = createHash('sha256')
  for (const piece of pieces) hash.update(piece)
  return hash.digest('hex')
}
/** Any text, halves of surrogate pairs too, which UTF-8 has no bytes for. */
const text = fc.string({ unit: fc.integer({ min: 0, max: 0xffff }).map((unit) => String.fromCharCode(unit)) })
const data = fc.oneof(text, fc.uint8Array({ maxLength: 5000 }))

describe("the addon's digests are Node's", () => {
  test('of bytes and of strings as UTF-8', () => {
    fc.assert(fc.property(data, (piece) => expect(sha256Hex(piece)).toBe(node(piece))))
  })

  test.each([4094, 4095, 4096, 4097, 100_000])('of %d characters, which may take memory of their own', (length) => {
    for (const letter of ['x', '\u00e9', '\u20ac']) expect(sha256(letter.repeat(length))).toBe(`sha256:${node(letter.repeat(length))}`)
  })

  test('of pieces', () => {
    fc.assert(
      fc.property(fc.array(data, { maxLength: 8 }), (pieces) => {
        const hash = new RunningHash()
        for (const piece of pieces) hash.update(piece)
        expect(hexOf(hash.finish())).toBe(node(...pieces))
      }),
    )
  })

  test('a hash that has ended takes nothing, and has no second end', () => {
    const hash = new RunningHash().update('a')
    hash.finish()
    expect(() => hash.update('b')).toThrow(/has ended/)
    expect(() => hash.finish()).toThrow(/has ended/)
  })

  test('what is neither text nor bytes is refused', () => {
    for (const wrong of [1, undefined, {}, new Float64Array(1)]) {
      expect(() => sha256Hex(wrong as never)).toThrow(/Uint8Array/)
      expect(() => new RunningHash().update(wrong as never)).toThrow(/Uint8Array/)
    }
  })
})

test('random names are as long as is asked, and others each time', () => {
  expect(new Set(Array.from({ length: 100 }, () => randomHex(8))).size).toBe(100)
  expect(randomHex(8)).toMatch(/^[0-9a-f]{16}$/)
  expect(sys().random(0)).toHaveLength(0)
  expect(sys().random(256)).toHaveLength(256)
  expect(() => sys().random(257)).toThrow(expect.objectContaining({ code: 'ERR_OUT_OF_RANGE' }))
})
