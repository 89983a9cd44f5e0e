import fc from 'fast-check'
import { decodeName, decodeRune, decodeText, encodeName } from '../../../src/base/utf8.ts'

test.each([
  [[0x61, 0xff, 0x62], 'a\ufffdb'],
  // docker 28.5: two for a character of three bytes that is cut short.
  [[0xe2, 0x82, 0x78], '\ufffd\ufffdx'],
  [[0xf0, 0x9f, 0x98, 0x80], '\u{1f600}'],
  [[0xef, 0xbf, 0xbd], '\ufffd'],
  [[0xed, 0xa0, 0x80], '\ufffd\ufffd\ufffd'],
])('%j is %j, as in the JSON of Go', (bytes, text) => expect(decodeText(Uint8Array.from(bytes))).toBe(text))

test('property: one character for each rune', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 40 }), (bytes) => {
      let expected = ''
      for (let at = 0; at < bytes.length; ) {
        const { rune, size } = decodeRune(bytes, at)
        expected += String.fromCodePoint(rune)
        at += size
      }
      expect(decodeText(bytes)).toBe(expected)
    }),
  )
})

test('property: what was decoded without loss is encoded again', () => {
  fc.assert(
    fc.property(
      fc.oneof(
        fc.uint8Array({ maxLength: 40 }),
        fc.string({ unit: 'binary' }).map((text) => Buffer.from(text)),
      ),
      (bytes) => {
        expect(encodeName(decodeName(bytes)).equals(bytes)).toBe(true)
        expect(decodeText(bytes).length).toBe(decodeName(bytes).length)
      },
    ),
  )
})
