import type { Digest } from '../../../src/base/digest.ts'
import { sha256 } from '../../../src/base/digest.ts'
import type { ConfigRecord } from '../../../src/cache/buildkit/cache-config.ts'
import { localNode, type Node, type NodeInput, opNode } from '../../../src/cache/buildkit/node.ts'
import { recordDigest } from '../../../src/cache/buildkit/op-json.ts'
import { type ContentOf, RecordGraph } from '../../../src/cache/buildkit/record-graph.ts'
import type { Vertex } from '../../../src/graph/op.ts'

const op = (name: string, ...inputs: NodeInput[]): Node => opNode([sha256(name)], inputs)
const SOURCE: Vertex = {
  ...{ id: '1', op: { kind: 'context', name: 'context' }, root: undefined, inputs: [], name: 'context', step: 'context', noCache: false },
}
const CONTEXT = { node: localNode('context'), content: { source: SOURCE, selections: [] } }
const of = (node: Node) => node.records[0] as Digest
const content = (text: string) => recordDigest(sha256(text), -1)
const hashes = (text: string | undefined): ContentOf & { asked: number } => {
  const hash = Object.assign(
    async () => {
      hash.asked += 1
      return text === undefined ? undefined : sha256(text)
    },
    { asked: 0 },
  )
  return hash
}

/** Records in order: `inputs` name earlier ones. */
function records(...list: { digest: Digest; inputs?: (number | { link: number; selector: string })[][] }[]): ConfigRecord[] {
  return list.map(({ digest, inputs = [] }) => ({
    digest,
    inputs: inputs.map((links) => links.map((link) => (typeof link === 'number' ? { link, selector: '' } : link))),
    results: [],
  }))
}

async function found(node: Node, list: ConfigRecord[], contentOf: ContentOf = hashes(undefined)): Promise<number[]> {
  const graph = new RecordGraph({ records: list })
  return (await graph.find(node, contentOf)).map((record) => list.indexOf(record))
}

test('by what it is put on', async () => {
  const base = op('image')
  const run = op('run', { node: base })
  expect(await found(run, records({ digest: of(base) }, { digest: of(run), inputs: [[0]] }))).toEqual([1])
  expect(await found(run, records({ digest: of(op('other')) }, { digest: of(run), inputs: [[0]] }))).toEqual([])
})

test('a link with another selector is another input', async () => {
  const [base, selector] = [op('image'), sha256('/a')]
  const run = op('run', { node: base, selector })
  const list = (link: { link: number; selector: string } | number) => records({ digest: of(base) }, { digest: of(run), inputs: [[link]] })
  expect(await found(run, list({ link: 0, selector }))).toEqual([1])
  expect(await found(run, list({ link: 0, selector: sha256('/b') }))).toEqual([])
  expect(await found(run, list(0))).toEqual([])
})

test('files of the caller by their content alone', async () => {
  const base = op('image')
  const copy = op('copy', { node: base }, CONTEXT)
  const list = records({ digest: of(base) }, { digest: content('files') }, { digest: of(copy), inputs: [[0], [1]] })
  expect(await found(copy, list, hashes('files'))).toEqual([2])
  expect(await found(copy, list, hashes('changed'))).toEqual([])
  expect(await found(copy, list)).toEqual([])
})

test('nothing is hashed where no record could be found by it', async () => {
  const base = op('image')
  const copy = op('copy', { node: base }, CONTEXT)
  const contentOf = hashes('files')
  await found(copy, records({ digest: of(base) }, { digest: content('files') }), contentOf)
  await found(copy, records({ digest: of(op('other')) }, { digest: content('files') }, { digest: of(copy), inputs: [[0], [1]] }), contentOf)
  expect(contentOf.asked).toBe(0)
})

test('a stage by what made it, and then nothing is hashed', async () => {
  const stage = op('stage')
  const copy = op('copy', { node: op('image') }, { ...CONTEXT, node: stage })
  const list = records({ digest: of(op('image')) }, { digest: of(stage) }, { digest: of(copy), inputs: [[0], [1]] })
  const contentOf = hashes('files')
  expect(await found(copy, list, contentOf)).toEqual([2])
  expect(contentOf.asked).toBe(0)
})

test('a stage that was made otherwise by the same files', async () => {
  const copy = op('copy', { node: op('image') }, { ...CONTEXT, node: op('stage, changed') })
  const list = records(
    { digest: of(op('image')) },
    { digest: of(op('stage')) },
    { digest: content('files') },
    { digest: of(copy), inputs: [[0], [1, 2]] },
  )
  expect(await found(copy, list, hashes('files'))).toEqual([3])
})

test('both inputs have to be those of one record', async () => {
  const [one, two] = [op('one'), op('two')]
  const merge = op('merge', { node: one }, { node: two })
  const crossed = records(
    { digest: of(one) },
    { digest: of(two) },
    { digest: of(op('third')) },
    { digest: of(merge), inputs: [[0], [2]] },
    { digest: of(merge), inputs: [[2], [1]] },
  )
  expect(await found(merge, crossed)).toEqual([])
  expect(await found(merge, records({ digest: of(one) }, { digest: of(two) }, { digest: of(merge), inputs: [[1], [0]] }))).toEqual([])
})

test('an image by its manifest or by its layers', async () => {
  const image = opNode([sha256('manifest'), sha256('layers')])
  const run = op('run', { node: image })
  for (const digest of image.records) expect(await found(run, records({ digest }, { digest: of(run), inputs: [[0]] }))).toEqual([1])
})
