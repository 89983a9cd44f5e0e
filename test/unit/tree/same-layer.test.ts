import { execFileSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from '@jest/globals'
import { sameLayer } from '../../../src/tree/same-layer.ts'

let work = ''
beforeEach(() => {
  work = mkdtempSync(join(tmpdir(), 'tbuild-same-'))
})
afterEach(() => rmSync(work, { recursive: true, force: true }))

/** Whether two directories are the same that the same script made, and another one changed the second. */
async function sameAfter(change: string): Promise<boolean> {
  const made = 'mkdir -p d/e; echo one > d/f; echo two > d/e/g; ln -s f d/s; ln d/f d/h; : > empty; mknod whiteout c 0 0'
  const [a, b] = [join(work, 'a'), join(work, 'b')]
  for (const [folder, script] of [
    [a, made],
    [b, `${made}; ${change}`],
  ] as const) {
    mkdirSync(folder)
    execFileSync('sh', ['-e', '-c', `umask 022; ${script}`], { cwd: folder })
  }
  const [one, other] = await Promise.all([sameLayer(a, b), sameLayer(b, a)])
  expect(one).toBe(other)
  return one
}

test.each(['', 'touch -d 2001-01-01 d/f d d/s', 'cp d/e/g x; mv x d/e/g'])('K8 the same but for times: %s', async (change) => {
  expect(await sameAfter(change)).toBe(true)
})

const asRoot = process.getuid?.() === 0

test.each(
  [
    'echo onE > d/e/g',
    'echo ONE > d/e/g',
    'printf x > empty',
    'chmod 600 d/e/g',
    'chmod 700 d/e',
    'chmod 700 .',
    'chown 1:1 d/e/g',
    'chown 1:1 d',
    'chown -h 1:1 d/s',
    'ln -sfn g d/s',
    'rm d/s; echo f > d/s',
    'rm empty',
    'mv empty vacant',
    'echo new > new',
    'rm whiteout; mknod whiteout c 1 3',
    'rm whiteout',
    'rm d/h; echo one > d/h',
    'rm d/h; ln d/e/g d/h',
    'setfattr -n trusted.overlay.opaque -v y d/e || setfattr -n user.overlay.opaque -v y d/e',
    'setfattr -n user.note -v x d/e/g',
    'setfattr -n user.note -v x d',
  ].filter((change) => asRoot || !/chown|c 1 3/.test(change)),
)('different: %s', async (change) => {
  expect(await sameAfter(change)).toBe(false)
})
