import { readFileSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from '@jest/globals'
import { root, script } from '../support/cli.ts'
import { baseTree, outcome, tbuildBuilder } from '../support/differential.ts'
import { loadCases, type Outcome } from '../support/differential-case.ts'
import { inProcessBuilder } from '../support/in-process.ts'

/**
 * Every Dockerfile of test/corpus/differential gives the tree, configuration and history that docker gave (recorded in expected.json by
 * `TBUILD_PEER=docker node scripts/differential.mjs record`), or is refused as docker refuses it.
 */
const cases = loadCases(join(root, 'test/corpus/differential'))
/** Builds at once: one waits for its sandbox while another computes. */
const LANES = 4
let store = ''
const outcomes = new Map<string, PromiseSettledResult<Outcome>>()

/** All builds run here, a few at a time on one store, as on a machine at work; the tests only compare. */
beforeAll(async () => {
  const made = script('busybox-layout.mjs')
  if (made.status !== 0) throw new Error(made.stderr)
  const layout = made.stdout.trim()
  store = await mkdtemp(join(tmpdir(), 'tbuild-e2e-'))
  const bases = { busybox: layout }
  const builder = process.getuid?.() === 0 ? inProcessBuilder(store, bases) : tbuildBuilder(root, store, bases)
  const base = baseTree(layout)
  const waiting = [...cases]
  const lane = async () => {
    for (let one = waiting.shift(); one !== undefined; one = waiting.shift()) {
      const [result] = await Promise.allSettled([outcome(one, builder, base)])
      outcomes.set(one.name, result)
    }
  }
  await Promise.all(Array.from({ length: LANES }, lane))
}, 600_000)

afterAll(() => rm(store, { recursive: true, force: true }), 120_000)

test.each(cases.map((one) => [`${one.rule} ${one.name}: ${one.about ?? ''}`, one] as const))('%s', (_title, one) => {
  const expected = JSON.parse(readFileSync(join(one.folder, 'expected.json'), 'utf8')) as Outcome
  const result = outcomes.get(one.name)
  if (result?.status !== 'fulfilled') throw result?.reason
  const got = result.value
  if (expected.refused) expect({ refused: got.refused, got }).toMatchObject({ refused: true })
  else expect(got).toEqual(expected)
})
