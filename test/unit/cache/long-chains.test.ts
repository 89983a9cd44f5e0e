import { expect, test } from '@jest/globals'
import { sha256 } from '../../../src/base/digest.ts'
import { parseCacheConfig } from '../../../src/cache/buildkit/cache-config.ts'
import type { Node } from '../../../src/cache/buildkit/node.ts'
import { NodeGraph } from '../../../src/cache/buildkit/nodes.ts'
import { type ContentOf, RecordGraph } from '../../../src/cache/buildkit/record-graph.ts'
import { exportSteps } from '../../../src/cache/exports.ts'
import type { CopyOp, Vertex } from '../../../src/graph/op.ts'

/** More than there is stack for; a cache has at most 20,000 records. */
const LENGTH = 9000

const vertex = (id: string, op: Vertex['op'], root: Vertex | undefined, inputs: Vertex[]): Vertex => ({
  ...{ id, op, root, inputs, name: id, stage: 'stage', step: id, noCache: false },
})
function copyOf(index: number): CopyOp {
  const source = { kind: 'path', input: 0, path: `/${index}`, unpack: false } as const
  return { kind: 'copy', sources: [source], destination: '/', link: false, parents: false, exclude: [] }
}
const context = vertex('context', { kind: 'context', name: 'context' }, undefined, [])

function chain(next: (below: Vertex, index: number) => Vertex): Vertex {
  let top = vertex('0', copyOf(0), undefined, [context])
  for (let index = 1; index < LENGTH; index++) top = next(top, index)
  return top
}

const chains: Readonly<Record<string, Vertex>> = {
  'copy from the one before': chain((below, index) => vertex(`${index}`, copyOf(index), undefined, [below])),
  'stand on the one before': chain((below, index) => vertex(`${index}`, { kind: 'workdir', path: `/${index}`, user: '' }, below, [])),
}

const refuse = () => Promise.reject(new Error('no such source here'))
const contentOf: ContentOf = async ({ source: { id }, selections }) => sha256(JSON.stringify([id, selections]))

test.each(Object.entries(chains))(
  '9,000 steps that %s are exported to a cache, and found there',
  async (_, target) => {
    const nodes = new NodeGraph({ image: () => ({ resolved: sha256('image'), diffIds: [] }), file: refuse, commit: refuse })
    const layers = { open: refuse, where: refuse }
    const built = { targets: [target], result: async () => undefined, changedContexts: async () => new Set<string>() }
    const deps = { nodes, contents: { reader: () => contentOf }, layers }
    const { writer } = await exportSteps(built, { mode: 'max', form: {}, by: 'blob' }, deps)
    const config = parseCacheConfig(Buffer.from(writer.config().json))
    expect(config.records.length).toBeGreaterThanOrEqual(LENGTH)
    const { whole } = await nodes.of(target)
    expect(await new RecordGraph(config).find(whole as Node, contentOf)).toHaveLength(1)
  },
  60_000,
)
