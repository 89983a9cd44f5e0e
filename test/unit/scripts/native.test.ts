import { join } from 'node:path'
import { expect, test } from '@jest/globals'

const script = join(import.meta.dirname, '../../../scripts/native.mjs')
const { compilerFlags } = (await import(script)) as { compilerFlags: (folder: string, environment: object) => string[] }

const WARNINGS = ['-Wall', '-Wextra', '-Wshadow', '-Wconversion']
const HARDENED = ['-O2', '-fstack-protector-strong', '-D_FORTIFY_SOURCE=2']

test.each(['runner', 'addon'])('%s: strict and hardened for everybody, warnings end the build in CI only', (folder) => {
  const [user, ci] = [compilerFlags(folder, {}), compilerFlags(folder, { CI: '1' })]
  for (const flags of [user, ci]) expect(flags).toEqual(expect.arrayContaining([...WARNINGS, ...HARDENED]))
  expect(ci.filter((flag) => !user.includes(flag))).toEqual(['-Werror'])
  expect(user.filter((flag) => !ci.includes(flag))).toEqual([])
})

test('one part is under the sanitizers at a time', () => {
  const sanitized = (folder: string) => compilerFlags(folder, { TBUILD_SANITIZE: 'addon' }).some((flag) => flag.startsWith('-fsanitize='))
  expect(['runner', 'addon'].map(sanitized)).toEqual([false, true])
})
