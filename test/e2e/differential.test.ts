import { readFileSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from '@jest/globals'
import { root, script } from '../support/cli.ts'
import { baseTree, outcome, tbuildBuilder } from '../support/differential.ts'
import { loadCases, type Outcome } from '../support/differential-case.ts'
import type { Tree } from '../support/image-tree.ts'

/**
 * Every Dockerfile of test/corpus/differential gives the tree, configuration and history that docker gave (recorded in expected.json by
 * `TBUILD_PEER=docker node scripts/differential.mjs record`), or is refused as docker refuses it.
 */
const cases = loadCases(join(root, 'test/corpus/differential'))
let layout = ''
let base: Tree
let store = ''

beforeAll(async () => {
  const made = script('busybox-layout.mjs')
  if (made.status !== 0) throw new Error(made.stderr)
  layout = made.stdout.trim()
  base = baseTree(layout)
  store = await mkdtemp(join(tmpdir(), 'tbuild-e2e-'))
}, 300_000)

afterAll(() => rm(store, { recursive: true, force: true }), 120_000)

test.each(cases.map((one) => [`${one.rule} ${one.name}: ${one.about ?? ''}`, one] as const))(
  '%s',
  (_title, one) => {
    const expected = JSON.parse(readFileSync(join(one.folder, 'expected.json'), 'utf8')) as Outcome
    const got = outcome(one, tbuildBuilder(root, store, { busybox: layout }), base)
    if (expected.refused) expect({ refused: got.refused, got }).toMatchObject({ refused: true })
    else expect(got).toEqual(expected)
  },
  120_000,
)
