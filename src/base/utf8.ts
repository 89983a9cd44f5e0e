/** File names and patterns are bytes. Here is UTF-8 as Go decodes it: a byte that belongs to no character counts as one character, U+FFFD. */

/** Code point and length in bytes of the character at `at`, which must be inside; length 1 and U+FFFD for an invalid byte. */
export function decodeRune(bytes: Uint8Array, at: number): { rune: number; size: number } {
  const first = bytes[at] as number
  if (first < 0x80) return { rune: first, size: 1 }
  const size = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : 2
  let rune = first & (0xff >> (size + 1))
  for (let index = 1; index < size; index++) {
    const byte = bytes[at + index] ?? 0
    if ((byte & 0xc0) !== 0x80) return { rune: 0xfffd, size: 1 }
    rune = (rune << 6) | (byte & 0x3f)
  }
  const shortest = size === 2 ? 0x80 : size === 3 ? 0x800 : 0x10000
  const valid = first >= 0xc2 && first < 0xf5 && rune >= shortest && rune <= 0x10ffff && (rune < 0xd800 || rune > 0xdfff)
  return valid ? { rune, size } : { rune: 0xfffd, size: 1 }
}

/**
 * A name as a string without loss: an invalid byte 0x80–0xff becomes the lone surrogate U+DC80–U+DCFF, which no valid name contains. Such strings
 * compare like the bytes, and a regular expression with the `u` flag sees one character for each invalid byte, as Go does.
 */
export function decodeName(name: Uint8Array | string): string {
  if (typeof name === 'string') return name
  const text = Buffer.from(name.buffer, name.byteOffset, name.byteLength).toString('utf8')
  if (!text.includes('\ufffd')) return text
  let decoded = ''
  for (let at = 0; at < name.length; ) {
    const { rune, size } = decodeRune(name, at)
    decoded += String.fromCodePoint(rune === 0xfffd && size === 1 ? 0xdc00 + (name[at] as number) : rune)
    at += size
  }
  return decoded
}

/** A text as Go's JSON has it: U+FFFD for each byte that belongs to no character, where Node has one for several. */
export function decodeText(text: Uint8Array | string): string {
  return decodeName(text).replace(/[\udc80-\udcff]/gu, '\ufffd')
}

/** Whether a text of `decodeName` has bytes that are no UTF-8. */
export function hasNonUtf8(text: string): boolean {
  return /[\udc80-\udcff]/u.test(text)
}

/** The bytes that `decodeName` was given. */
export function encodeName(text: string): Buffer {
  if (!hasNonUtf8(text)) return Buffer.from(text)
  const parts = text.split(/([\udc80-\udcff])/u)
  return Buffer.concat(parts.map((part, index) => (index % 2 === 0 ? Buffer.from(part) : Buffer.from([part.charCodeAt(0) - 0xdc00]))))
}
