import { corrupt } from './source.ts'

/** PAX extended header records (POSIX pax, "pax Extended Header"): keyword to bytes. GNU sparse 0.0 repeats keywords, so order and repeats are kept. */
export type PaxRecords = readonly (readonly [key: string, value: Buffer])[]

const XATTR = 'SCHILY.xattr.'
const NUL_FREE = new Set(['path', 'linkpath', 'uname', 'gname'])

/** `LENGTH KEY=VALUE\n` one after the other; anything else is an error, never skipped: a lenient reader sees other members than a strict one. */
export function decodePax(data: Buffer, offset: number): PaxRecords {
  const records: [string, Buffer][] = []
  let start = 0
  while (start < data.length) {
    const blank = data.indexOf(0x20, start)
    const digits = blank === -1 || blank - start > 10 ? '' : data.toString('latin1', start, blank)
    if (!/^[1-9][0-9]*$/.test(digits)) throw corrupt('malformed PAX record length', offset)
    const end = start + Number(digits)
    if (end > data.length || end < blank + 4 || data[end - 1] !== 0x0a) throw corrupt('malformed PAX record', offset)
    const equals = data.indexOf(0x3d, blank + 1)
    if (equals === -1 || equals <= blank + 1 || equals >= end - 1) throw corrupt('malformed PAX record', offset)
    const key = data.toString('latin1', blank + 1, equals)
    const value = Buffer.from(data.subarray(equals + 1, end - 1))
    if (key.includes('\0') || (NUL_FREE.has(key) && value.includes(0))) throw corrupt(`NUL in PAX record ${JSON.stringify(key)}`, offset)
    records.push([key, value])
    start = end
  }
  return records
}

/** The last value of each keyword, without the empty ones, which POSIX defines as deleted. */
export function lastValues(records: PaxRecords): Map<string, Buffer> {
  const map = new Map<string, Buffer>()
  for (const [key, value] of records) {
    if (value.length > 0) map.set(key, value)
    else map.delete(key)
  }
  return map
}

/** `SCHILY.xattr.NAME`; an empty value is a value here. */
export function paxXattrs(records: PaxRecords): Map<string, Buffer> | undefined {
  let xattrs: Map<string, Buffer> | undefined
  for (const [key, value] of records) {
    if (!key.startsWith(XATTR) || key.length === XATTR.length) continue
    xattrs ??= new Map()
    xattrs.set(Buffer.from(key.slice(XATTR.length), 'latin1').toString('utf8'), value)
  }
  return xattrs
}

/** A decimal without sign: no coercion, no exponent, at most `max`. */
export function paxInteger(value: Buffer, key: string, max: number, offset: number): number {
  const digits = value.toString('latin1')
  const number = /^[0-9]{1,20}$/.test(digits) ? Number(digits) : Number.NaN
  if (!(number <= max)) throw corrupt(`invalid PAX ${key} ${JSON.stringify(digits.slice(0, 30))}`, offset)
  return number
}

/** `-12.5` is 13 seconds before the epoch and 500000000 ns; digits after the ninth are dropped. */
export function paxTime(value: Buffer, offset: number): { seconds: number; nanoseconds: number } {
  const match = /^(-?)([0-9]{1,15})(?:\.([0-9]*))?$/.exec(value.toString('latin1'))
  if (match === null) throw corrupt(`invalid PAX time ${JSON.stringify(value.toString('latin1', 0, 30))}`, offset)
  const whole = Number(match[2])
  const fraction = Number((match[3] ?? '').slice(0, 9).padEnd(9, '0'))
  if (match[1] === '') return { seconds: whole, nanoseconds: fraction }
  return fraction === 0 ? { seconds: 0 - whole, nanoseconds: 0 } : { seconds: -whole - 1, nanoseconds: 1e9 - fraction }
}

/** The inverse of paxTime, without trailing zeros. */
export function formatPaxTime(seconds: number, nanoseconds: number): string {
  if (nanoseconds === 0) return String(seconds)
  const negative = seconds < 0
  const whole = negative ? -seconds - 1 : seconds
  const fraction = negative ? 1e9 - nanoseconds : nanoseconds
  return `${negative ? '-' : ''}${whole}.${String(fraction).padStart(9, '0').replace(/0+$/, '')}`
}

/** Records in the order of their keys, as Go writes them. */
export function encodePax(records: ReadonlyMap<string, Uint8Array>): Buffer {
  const parts: Uint8Array[] = []
  for (const key of [...records.keys()].sort()) {
    const value = records.get(key) as Uint8Array
    const name = Buffer.from(` ${key}=`)
    const rest = name.length + value.length + 1
    let length = rest + String(rest).length
    // The length counts its own digits, and may grow by one when they are added.
    if (String(length).length !== String(rest).length) length = rest + String(length).length
    parts.push(Buffer.from(String(length)), name, value, Buffer.from('\n'))
  }
  return Buffer.concat(parts)
}

export function xattrKey(name: string): string {
  return XATTR + name
}
