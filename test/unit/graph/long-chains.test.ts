import { parseStages } from '../../../src/dockerfile/stages.ts'
import { type Graph, lower } from '../../../src/graph/lower.ts'
import type { Vertex } from '../../../src/graph/op.ts'
import { outline } from '../../../src/graph/outline.ts'
import { VertexDigests } from '../../../src/graph/vertex-digests.ts'
import { unrunnable } from '../../../src/solve/emulation.ts'
import { lowerOptions } from '../../support/lower-options.ts'

/** More than there is stack for, and so many that a look at all of them for each would take minutes. */
const LENGTH = 20_000

const rows = (row: (index: number) => string) => Array.from({ length: LENGTH }, (_, index) => row(index)).join('')

const chains: Readonly<Record<string, string>> = {
  'copy from the one before': `FROM scratch AS s0\nCOPY f /f\n${rows((index) => `FROM scratch AS s${index + 1}\nCOPY --from=s${index} /f /f\n`)}`,
  'are FROM the one before': `FROM scratch AS s0\n${rows((index) => `FROM s${index} AS s${index + 1}\nCOPY f /f${index}\n`)}`,
  'are one stage of RUNs': `FROM scratch\n${'RUN --mount=type=secret,id=s make\n'.repeat(LENGTH)}`,
}

describe.each(Object.entries(chains))('20,000 steps that %s', (_, text) => {
  const file = parseStages({ name: 'Dockerfile', text })
  let graph: Graph

  test('are lowered', async () => {
    graph = await lower(file, lowerOptions())
    expect(graph.vertices.length).toBeGreaterThanOrEqual(LENGTH)
  }, 60_000)

  test('have digests, asked for from the last on, and an answer whether this machine can run them', () => {
    expect(new VertexDigests().of(graph.vertices.at(-1) as Vertex).inputs.length).toBeGreaterThan(0)
    expect(unrunnable(graph.vertices).size).toBe(0)
  }, 20_000)

  test('are outlined', async () => {
    expect((await outline(file, lowerOptions())).secrets.length).toBe(text.includes('id=s') ? 1 : 0)
  }, 60_000)
})

test('a circle through 20,000 stages is found, as itself', async () => {
  const text = `FROM scratch AS s0\nCOPY --from=s${LENGTH} /f /f\n${rows((index) => `FROM scratch AS s${index + 1}\nCOPY --from=s${index} /f /f\n`)}`
  const file = parseStages({ name: 'Dockerfile', text })
  await expect(lower(file, lowerOptions())).rejects.toMatchObject({
    code: 'STAGE_CYCLE',
    message: 'circular dependency detected on stage: s0',
    span: { start: { line: 4 } },
  })
}, 60_000)
