import { TbuildError } from '../base/errors.ts'

const POWERS = ['', 'k', 'm', 'g', 't', 'p']

/** Bytes of a size in Docker's units, powers of 1024: `64m`, `1.5g`, `512kib`, `100b`. Throws SIZE_INVALID. */
export function parseByteSize(text: string): number {
  const match = /^(\d+(?:\.\d+)?) ?([kmgtp])?i?b?$/i.exec(text)
  const bytes = match ? Math.trunc(Number(match[1]) * 1024 ** POWERS.indexOf((match[2] ?? '').toLowerCase())) : Number.NaN
  if (!Number.isSafeInteger(bytes)) {
    throw new TbuildError('SIZE_INVALID', `invalid size: '${text}'`, { hint: 'write bytes, or a number with k, m, g, t or p, such as 64m' })
  }
  return bytes
}
