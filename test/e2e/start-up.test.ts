import { spawn, spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals'
import { root } from '../support/cli.ts'
import { startTestRegistry, type TestRegistry } from '../support/registry-server.ts'
import { openWorkspace, type Workspace } from '../support/workspace.ts'

/*
 * What a build takes of which every step is in the cache and the archive is there. Times say nothing on a machine that has other work; counts creep back as
 * soon as somebody imports something. The ceilings are a little above what is reached: whoever needs more says why.
 */

interface Counts {
  readonly reads: number
  readonly writes: number
  readonly threads: number
  /** Of Node, beyond those of an empty program. */
  readonly modules: readonly string[]
}

let space: Workspace
let registry: TestRegistry
let empty: ReadonlySet<string>
beforeAll(async () => {
  space = openWorkspace()
  registry = await startTestRegistry()
  empty = new Set((await counted(['-e', '0'])).modules)
})
afterAll(async () => {
  await registry.close()
  space.remove()
})

/** Ends with what `args` of node took. */
async function counted(args: readonly string[]): Promise<Counts> {
  const file = space.path('counts.json')
  const env = { ...process.env, COUNTS: file, NODE_EXTRA_CA_CERTS: undefined }
  const child = spawn(process.execPath, ['-r', join(root, 'test/support/start-up-counts.cjs'), ...args], { stdio: 'ignore', env })
  expect(await new Promise((resolve) => child.on('close', resolve))).toBe(0)
  return JSON.parse(readFileSync(file, 'utf8')) as Counts
}

async function command(...args: readonly string[]): Promise<Counts> {
  const counts = await counted([join(root, 'bin/tbuild.js'), ...args])
  return { ...counts, modules: counts.modules.filter((name) => !empty.has(name)) }
}

/** The third build of a Dockerfile: by then what the first two learnt is kept. */
async function cachedBuild(name: string, first: string): Promise<Counts> {
  const steps = Array.from({ length: 10 }, (_, index) => `COPY f${index} /c/\n`)
  const files = Object.fromEntries(steps.map((_, index) => [`f${index}`, `${index}`]))
  const context = space.context({ Dockerfile: `${first}\n${steps.join('')}`, ...files })
  const build = () => command('--root', space.store, '--progress', 'plain', '-o', `type=oci,dest=${space.path(`${name}.tar`)}`, context)
  await build()
  await build()
  return build()
}

const loaded = ({ modules }: Counts, pattern: RegExp) => modules.filter((name) => pattern.test(name))

describe('ten cached steps, with an archive that is there', () => {
  test('without a base: nothing waits for another thread, and few modules of Node are loaded', async () => {
    const counts = await cachedBuild('scratch', 'FROM scratch')
    expect(loaded(counts, /\b(crypto|fs\/promises|perf_hooks|http|net|tls|stream|child_process|zlib|worker)\b/)).toEqual([])
    expect(counts.modules.length).toBeLessThanOrEqual(12)
    // As many as an empty program has: libuv's pool, which has four, never begins.
    expect(counts.threads).toBeLessThanOrEqual((await counted(['-e', '0'])).threads + 1)
    expect(counts.reads).toBeLessThanOrEqual(150)
    expect(counts.writes).toBeLessThanOrEqual(80)
  }, 60_000)

  test('with a base of a registry: one connection, and what it needs', async () => {
    registry.addLayout('base', (space.base.at(-1) as string).replace('busybox=oci-layout://', ''))
    const [tag] = [...registry.documents.keys()].filter((name) => !name.includes('@'))
    const counts = await cachedBuild('registry', `FROM ${registry.host}/${tag}`)
    expect(loaded(counts, /\b(crypto|fs\/promises|perf_hooks|https|tls|child_process|zlib|worker)\b/)).toEqual([])
    expect(counts.modules.length).toBeLessThanOrEqual(60)
  }, 60_000)
})

test('a version needs next to nothing', async () => {
  const counts = await command('--version')
  expect(counts.modules.length).toBeLessThanOrEqual(6)
  expect(spawnSync(process.execPath, [join(root, 'bin/tbuild.js'), '--version'], { encoding: 'utf8' }).stderr).toBe('')
})
