import { describe, test } from '@jest/globals'

type Run = Parameters<typeof test>[1]

/** `test` where the machine has what it needs; elsewhere it is skipped, and its name says what is missing. */
export function testWith(met: boolean, need: string): (name: string, run: Run, timeout?: number) => void {
  return (name, run, timeout) => (met ? test(name, run, timeout) : test.skip(`${name} (skipped: needs ${need})`, run, timeout))
}

/** The same for a group. */
export function describeWith(met: boolean, need: string): (name: string, tests: () => void) => void {
  return (name, tests) => (met ? describe(name, tests) : describe.skip(`${name} (skipped: needs ${need})`, tests))
}
