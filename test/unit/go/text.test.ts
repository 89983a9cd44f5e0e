import fc from 'fast-check'
import { formatGoDuration, parseGoDuration } from '../../../src/go/duration.ts'
import { goQuote, quoteList } from '../../../src/go/quote.ts'

test.each([
  ['a b', '"a b"'],
  ['say "hi"\\', '"say \\"hi\\"\\\\"'],
  ['\t\n\r\v\f\b\u0007', '"\\t\\n\\r\\v\\f\\b\\a"'],
  ['\u0001\u007f', '"\\x01\\x7f"'],
  ['é👽', '"é👽"'],
  ['\u00a0\u200b\ufeff', '"\\u00a0\\u200b\\ufeff"'],
  ['\u{10ffff}', '"\\U0010ffff"'],
])('I4 %%q of %j', (text, expected) => expect(goQuote(text)).toBe(expected))

test('I4 a list as CMD shows it', () => expect(quoteList(['/bin/sh', '-c', 'echo "x"'])).toBe('["/bin/sh" "-c" "echo \\"x\\""]'))

test.each([
  ['0', 0n, '0s'],
  ['30s', 30_000_000_000n, '30s'],
  ['90s', 90_000_000_000n, '1m30s'],
  ['1h', 3_600_000_000_000n, '1h0m0s'],
  ['1.5s', 1_500_000_000n, '1.5s'],
  ['1500us', 1_500_000n, '1.5ms'],
  ['1h2m3.004s', 3_723_004_000_000n, '1h2m3.004s'],
  ['-2ns', -2n, '-2ns'],
  ['.5ms', 500_000n, '500µs'],
])('W10 duration %s', (text, nanoseconds, printed) => {
  expect(parseGoDuration(text)).toBe(nanoseconds)
  expect(formatGoDuration(nanoseconds)).toBe(printed)
})

test.each([
  ['', 'time: invalid duration ""'],
  ['.s', 'time: invalid duration ".s"'],
  ['5', 'time: missing unit in duration "5"'],
  ['5x', 'time: unknown unit "x" in duration "5x"'],
  ['5constructor', 'time: unknown unit "constructor" in duration "5constructor"'],
  ['9223372036854775808ns', 'time: invalid duration "9223372036854775808ns"'],
])('W10 %j is no duration', (text, message) => expect(() => parseGoDuration(text)).toThrow(message))

test('W10 what is printed reads back', () => {
  fc.assert(
    fc.property(fc.bigInt({ min: -(2n ** 63n) + 1n, max: 2n ** 63n - 1n }), (value) => {
      expect(parseGoDuration(formatGoDuration(value))).toBe(value)
    }),
  )
})
