import { spawn, spawnSync } from 'node:child_process'
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from '@jest/globals'
import type { Report } from '../../bench/result.ts'
import { root } from '../support/cli.ts'
import { alive, descendants, until } from '../support/processes.ts'

let folder: string
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'tbuild-bench-test-'))
})
afterEach(() => rmSync(folder, { recursive: true, force: true }))

const bench = join(root, 'bench/bench.mjs')
/** Its own folder for what it makes: what it leaves is seen there. */
const environment = () => ({ ...process.env, NODE_EXTRA_CA_CERTS: undefined, TMPDIR: folder, TBUILD_BENCH_PREFIX: '' })
const outputs = () => join(folder, 'out')
const left = () => readdirSync(folder).filter((name) => name.startsWith('tbuild-bench-'))

test('the smallest load, by tbuild alone: three files with what was measured, and nothing else is left', () => {
  const args = [bench, 'runs', '--quick', '--rounds', '1', '--peers', 'none', '--out', outputs()]
  const { status, stderr, stdout } = spawnSync(process.execPath, args, { encoding: 'utf8', env: environment(), timeout: 300_000 })
  expect([status, stderr]).toEqual([0, expect.stringContaining('runs small RUN 5 round 1 tbuild')])
  const report = JSON.parse(readFileSync(join(outputs(), 'bench.json'), 'utf8')) as Report
  const [found] = report.cases
  expect(report.cases).toHaveLength(1)
  expect(found).toMatchObject({ load: 'runs', amount: 5, unit: 'steps', outcomes: { tbuild: { samples: [expect.anything()] } } })
  const [sample] = found?.outcomes.tbuild?.samples ?? []
  for (const figure of [sample?.seconds, sample?.processors, sample?.memory]) expect(figure).toBeGreaterThan(0)
  expect(readFileSync(join(outputs(), 'bench.md'), 'utf8')).toBe(stdout.replace(/\n$/, ''))
  expect(readFileSync(join(outputs(), 'bench.svg'), 'utf8')).toContain('runs: small RUN, 5 steps')
  expect(left()).toEqual([])
})

test('interrupted, it ends what it started and leaves nothing', async () => {
  const args = [bench, 'waiting-stages', '--quick', '--peers', 'none', '--out', outputs()]
  const child = spawn(process.execPath, args, { env: environment(), stdio: 'ignore' })
  const ended = new Promise<number | null>((resolve) => child.on('exit', resolve))
  const pid = child.pid as number
  await until(() => descendants(pid).some((one) => isSleeping(one.pid)), 60_000)
  const started = descendants(pid)
  expect(started.some((one) => isSleeping(one.pid))).toBe(true)
  child.kill('SIGINT')
  expect(await ended).toBe(130)
  // Those of a namespace are killed by the kernel, at the death of the first of them.
  await until(() => alive(started).length === 0, 10_000)
  expect(alive(started)).toEqual([])
  expect(left()).toEqual([])
})

function isSleeping(pid: number): boolean {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'latin1').startsWith('sleep\0')
  } catch {
    return false
  }
}

test.each([
  [['--rounds', 'many'], 2],
  [['nothing-like-it'], 2],
  [['--help'], 0],
])('%j ends with %s', (args, expected) => {
  expect(spawnSync(process.execPath, [bench, ...args], { env: environment() }).status).toBe(expected)
})
