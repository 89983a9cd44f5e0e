import { TbuildError } from '../base/errors.ts'

/** Nanoseconds a unit. */
const UNITS: Record<string, bigint> = {
  ns: 1n,
  us: 1_000n,
  µs: 1_000n,
  μs: 1_000n,
  ms: 1_000_000n,
  s: 1_000_000_000n,
  m: 60_000_000_000n,
  h: 3_600_000_000_000n,
}
const LONGEST = (1n << 63n) - 1n

/** Nanoseconds of a Go duration: `1h30m`, `1.5s`, `-2ms`, `0`. Throws DURATION_INVALID with Go's text. */
export function parseGoDuration(text: string): bigint {
  const sign = /^[+-]/.exec(text)?.[0] ?? ''
  let rest = text.slice(sign.length)
  if (rest === '0') return 0n
  if (rest === '') throw invalid(text)
  let total = 0n
  while (rest !== '') {
    const [all, integer = '', fraction = '', unit = ''] = /^(\d*)(?:\.(\d*))?([^\d.]*)/.exec(rest) as RegExpExecArray
    if (integer === '' && fraction === '') throw invalid(text)
    if (integer.length > 19 && BigInt(integer.slice(0, 400)) > LONGEST) throw invalid(text)
    if (unit === '') throw new TbuildError('DURATION_INVALID', `time: missing unit in duration ${quote(text)}`)
    const scale = Object.hasOwn(UNITS, unit) ? UNITS[unit] : undefined
    if (scale === undefined) {
      throw new TbuildError('DURATION_INVALID', `time: unknown unit ${quote(unit)} in duration ${quote(text)}`)
    }
    // More digits than Go keeps would only cost time here.
    total +=
      BigInt(integer.slice(0, 40)) * scale + (BigInt(fraction.slice(0, 18) || '0') * scale) / 10n ** BigInt(Math.min(fraction.length, 18))
    if (total > LONGEST + (sign === '-' ? 1n : 0n)) throw invalid(text)
    rest = rest.slice(all.length)
  }
  return sign === '-' ? -total : total
}

function invalid(text: string): TbuildError {
  return new TbuildError('DURATION_INVALID', `time: invalid duration ${quote(text)}`, {
    hint: 'write a number and a unit, such as 30s or 1m30s',
  })
}

/** Go's Duration.String: `0s`, `1.5ms`, `30s`, `1m30s`, `1h0m0s`. */
export function formatGoDuration(nanoseconds: bigint): string {
  if (nanoseconds < 0n) return `-${formatGoDuration(-nanoseconds)}`
  if (nanoseconds === 0n) return '0s'
  if (nanoseconds < 1_000n) return `${nanoseconds}ns`
  if (nanoseconds < 1_000_000n) return `${decimal(nanoseconds, 3)}µs`
  if (nanoseconds < 1_000_000_000n) return `${decimal(nanoseconds, 6)}ms`
  const minutes = nanoseconds / 60_000_000_000n
  const seconds = `${decimal(nanoseconds % 60_000_000_000n, 9)}s`
  if (minutes === 0n) return seconds
  return minutes < 60n ? `${minutes}m${seconds}` : `${minutes / 60n}h${minutes % 60n}m${seconds}`
}

/** value / 10^digits without trailing zeros. */
function decimal(value: bigint, digits: number): string {
  const scale = 10n ** BigInt(digits)
  const fraction = (value % scale).toString().padStart(digits, '0').replace(/0+$/, '')
  return `${value / scale}${fraction === '' ? '' : `.${fraction}`}`
}

/** Package time quotes by bytes, unlike %q. */
function quote(text: string): string {
  const escaped = [...Buffer.from(text)].map((byte) => {
    if (byte === 0x22 || byte === 0x5c) return `\\${String.fromCharCode(byte)}`
    return byte < 0x20 || byte >= 0x80 ? `\\x${byte.toString(16).padStart(2, '0')}` : String.fromCharCode(byte)
  })
  return `"${escaped.join('')}"`
}
