import { readSync } from 'node:fs'
import { sys } from '../base/sys.ts'

export function sameBytes(a: Buffer | undefined, b: Buffer | undefined): boolean {
  return a === undefined || b === undefined ? a === b : a.equals(b)
}

/** Reads both to the end or to the first difference, and closes them. */
export function sameContent(a: number, b: number): boolean {
  const [left, right] = [Buffer.allocUnsafe(65536), Buffer.allocUnsafe(65536)]
  try {
    for (;;) {
      const count = readSync(a, left)
      if (count !== readSync(b, right) || !left.subarray(0, count).equals(right.subarray(0, count))) return false
      if (count === 0) return true
    }
  } finally {
    sys().close(a)
    sys().close(b)
  }
}
