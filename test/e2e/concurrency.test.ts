import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals'
import { script } from '../support/cli.ts'
import { runTbuild } from '../support/fault/fault.ts'
import { readImage } from '../support/image-archive.ts'
import { applyLayers } from '../support/image-tree.ts'

/** Builds at once; `npm run crash-test` has 32. */
const BUILDS = Number(process.env.TBUILD_BUILDS ?? 8)
const MINUTES = 20 * 60_000

/** Each RUN leaves a line in a cache mount, which no image and no key contains. */
const run = (name: string) =>
  `RUN --mount=type=cache,id=log,target=/log echo ${name} >> /log/runs && sleep 0.3 && mkdir -p /made && echo ${name} > /made/${name}\n`
const SHARED = `FROM busybox\nCOPY file /file\n${run('first')}${run('second')}FROM busybox\nCOPY --from=0 /made /made\n${run('third')}`
const ownDockerfile = (index: number) => `FROM busybox\n${run(`own-${index}`)}COPY file /file\n`

let folder = ''
let base: string[] = []

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'tbuild-many-'))
  const layout = script('busybox-layout.mjs')
  if (layout.status !== 0) throw new Error(layout.stderr)
  base = ['--build-context', `busybox=oci-layout://${layout.stdout.trim()}`, '--progress', 'plain']
}, 300_000)
afterAll(() => rmSync(folder, { recursive: true, force: true }), 120_000)

function context(name: string, dockerfile: string): string {
  const path = join(folder, name)
  mkdirSync(path, { recursive: true })
  writeFileSync(join(path, 'Dockerfile'), dockerfile)
  writeFileSync(join(path, 'file'), 'the same\n')
  return path
}

/** The paths below /made and the content of /file. */
function madeIn(archive: string): string[] {
  const tree = applyLayers(readImage(archive).layers)
  if (tree.get('file')?.data.toString() !== 'the same\n' && tree.get('file') !== undefined) throw new Error('a wrong file')
  const made = [...tree].filter(([path]) => path.startsWith('made/'))
  for (const [path, node] of made) if (node.data.toString() !== `${path.slice(5)}\n`) throw new Error(`${path} is wrong`)
  return made.map(([path]) => path.slice(5)).sort()
}

/** All builds at once on one new store, while `gc` runs again and again; returns the store. */
async function buildAll(name: string, gc: readonly string[]): Promise<string> {
  const store = join(folder, name)
  const shared = context('shared', SHARED)
  let building = true
  const builds = Array.from({ length: BUILDS }, async (_, index) => {
    const isShared = index % 2 === 0
    const path = isShared ? shared : context(`own-${index}`, ownDockerfile(index))
    const archive = join(folder, `${name}-${index}.tar`)
    const built = await runTbuild(['--root', store, ...base, '-t', `${name}:${index}`, '-o', `type=oci,dest=${archive}`, path])
    if (built.status !== 0) throw new Error(built.stderr)
    expect(madeIn(archive)).toEqual(isShared ? ['first', 'second', 'third'] : [`own-${index}`])
    rmSync(archive)
  })
  const collector = async () => {
    let rounds = 0
    while (building) {
      const pruned = await runTbuild(['prune', '--root', store, ...gc])
      if (pruned.status !== 0) throw new Error(pruned.stderr)
      rounds += 1
    }
    return rounds
  }
  const collecting = collector()
  const results = await Promise.allSettled(builds)
  building = false
  expect(await collecting).toBeGreaterThan(0)
  expect(results.filter(({ status }) => status === 'rejected')).toEqual([])
  const verified = await runTbuild(['verify-store', '--check-only', '--root', store])
  expect(verified).toMatchObject({ status: 0, stderr: '' })
  return store
}

describe('many builds on one store', () => {
  test(
    'share their steps: each runs once, while gc runs by its policy',
    async () => {
      const store = await buildAll('policy', [])
      const mounts = join(store, 'v1/mounts')
      const runs = readdirSync(mounts).flatMap((key) =>
        readFileSync(join(mounts, key, '0/runs'), 'utf8')
          .trim()
          .split('\n'),
      )
      const own = Array.from({ length: BUILDS }, (_, index) => index).filter((index) => index % 2 === 1)
      expect(runs.sort()).toEqual(['first', 'second', 'third', ...own.map((index) => `own-${index}`)].sort())
      expect(readdirSync(join(store, 'v1/tmp'))).toEqual([])
      const listed = await runTbuild(['images', '-q', '--root', store])
      expect(listed.stdout.trim().split('\n').length).toBe(1 + own.length)
    },
    MINUTES,
  )

  test(
    'are right while gc takes all that it may',
    async () => {
      await buildAll('all', ['--all'])
    },
    MINUTES,
  )
})
