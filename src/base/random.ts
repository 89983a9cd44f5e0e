import { sys } from './sys.ts'

/** So many random bytes as hex digits, for names that nobody else has. By the addon, as digests are. */
export function randomHex(bytes: number): string {
  return sys().random(bytes).toString('hex')
}
