import { mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from '@jest/globals'
import { sha256 } from '../../../src/base/digest.ts'
import { localBackend } from '../../../src/cache/backends.ts'
import { NodeGraph } from '../../../src/cache/buildkit/nodes.ts'
import type { ContentOf } from '../../../src/cache/buildkit/record-graph.ts'
import { cacheManifest } from '../../../src/cache/cache-manifest.ts'
import { type BuiltSteps, type ExportDeps, exportSteps } from '../../../src/cache/exports.ts'
import { Imports } from '../../../src/cache/imports.ts'
import type { Vertex } from '../../../src/graph/op.ts'
import type { LayerId, Snapshot } from '../../../src/store/types.ts'
import { type CountedCatalog, countedCatalog } from '../../support/catalog.ts'

/** What caches cost: a stage of many COPY steps, of which every other one made nothing. */
const STEPS = 32
const LAYERS = STEPS / 2

let own: CountedCatalog
beforeEach(async () => {
  own = await countedCatalog()
})
afterEach(() => own.dispose())

const vertex = (id: string, op: Vertex['op'], root: Vertex | undefined, inputs: Vertex[]): Vertex => ({
  ...{ id, op, root, inputs, name: id, stage: 'stage', step: id, noCache: false },
})
const files = vertex('context', { kind: 'context', name: 'context' }, undefined, [])
function stage(): Vertex[] {
  const steps: Vertex[] = []
  for (let at = 0; at < STEPS; at++) {
    const source = { kind: 'path', input: 0, path: `/${at}`, unpack: false } as const
    const op = { kind: 'copy', sources: [source], destination: '/', link: false, parents: false, exclude: [] } as const
    steps.push(vertex(`step ${at}`, op, steps.at(-1), [files]))
  }
  return steps
}

const refuse = () => Promise.reject(new Error('no such source here'))
const nodes = () => new NodeGraph({ image: () => ({ resolved: sha256('image'), diffIds: [] }), file: refuse, commit: refuse })
const steps = stage()
const target = steps.at(-1) as Vertex

/** Counts what is asked for contents. */
function contents(): { asked: number; reader(): ContentOf } {
  const counted = { asked: 0, reader: () => contentOf }
  const contentOf: ContentOf = async ({ selections }) => {
    counted.asked += 1
    return sha256(JSON.stringify(selections))
  }
  return counted
}

async function built() {
  const { snapshots, catalog } = own
  const made: LayerId[] = []
  for (let at = 0; at < LAYERS; at++) {
    const active = await snapshots.prepare(made)
    writeFileSync(join(active.upper, 'file'), `${at}`)
    made.push(await snapshots.commit(active, { info: { parent: [...made], created: new Date(1e12 + at * 1000).toISOString() } }))
  }
  const result = async (step: Vertex): Promise<Snapshot> => made.slice(0, Math.floor(steps.indexOf(step) / 2) + 1)
  const done: BuiltSteps = { targets: [target], result, changedContexts: async () => new Set() }
  const deps: ExportDeps = { nodes: nodes(), contents: contents(), layers: catalog }
  return { done, deps }
}

test.each(['min', 'max'] as const)(
  'an export reads what is known of a layer a few times, however many steps stand on it: %s',
  async (mode) => {
    const { done, deps } = await built()
    const { layers } = await exportSteps(done, { mode, form: {}, by: 'blob' }, deps)
    expect(layers.size).toBe(LAYERS)
    expect(own.counts.reads).toBeLessThanOrEqual(4 * LAYERS)
  },
)

test('an import goes over the graph once a look, however many steps made nothing', async () => {
  const { done, deps } = await built()
  const directory = join(own.store.layout.tmp, 'cache')
  mkdirSync(directory)
  const { signal } = new AbortController()
  const place = localBackend(directory)
  const extent = { mode: 'max', form: {}, by: 'blob' } as const
  await place.put(cacheManifest(await exportSteps(done, extent, deps), {}), { signal, isDamaged: false })
  const images = {
    describe: () => {
      throw new Error('no image here')
    },
  }
  const counted = contents()
  const session = { layers: own.catalog, images }
  const imports = await Imports.load([place], { session, nodes: nodes(), contents: counted, signal, onEvent: () => {} })
  const found = await imports.lookup({ vertex: target, key: undefined, made: () => undefined })
  expect(found?.layers).toHaveLength(STEPS)
  expect(counted.asked).toBeLessThanOrEqual(STEPS)
  rmSync(directory, { recursive: true })
})
