import { sha256 } from '../../../src/base/digest.ts'
import type { BuildEvent } from '../../../src/base/events.ts'
import { ExplainingWatcher } from '../../../src/explain/watcher.ts'
import type { Vertex } from '../../../src/graph/op.ts'
import type { CacheRecord, KeyPart } from '../../../src/store/types.ts'
import { image, run } from '../solve/walk-fakes.ts'

/** Steps in a row, each of which has an earlier record with another root; it counts how often one is asked what it stands on. */
function chain(length: number) {
  let asked = 0
  const steps: Vertex[] = []
  for (let index = 0; index < length; index += 1) {
    const root = steps.at(-1) ?? image()
    const vertex = { ...run(`step ${index}`, root) }
    steps.push(
      Object.defineProperty(vertex, 'root', {
        get() {
          asked += 1
          return root
        },
      }),
    )
  }
  return { steps, asked: () => asked }
}

const parts = (root: string, args = ''): KeyPart[] => [
  { name: 'root', value: root },
  { name: 'args', value: [args] },
]

const before = (step: string): CacheRecord => ({
  ...{ version: 1, key: sha256(`before ${step}`), parts: parts('before'), step, layers: [] },
  ...{ created: '2026-01-01T00:00:00.000Z', lastUsed: '2026-01-01T00:00:00.000Z' },
})

/** The first step's command changed, and so the root of all that stand on it. */
async function explained(length: number) {
  const { steps, asked } = chain(length)
  const events: BuildEvent[] = []
  const watcher = new ExplainingWatcher({
    cache: { nearest: async (step) => [before(step)] },
    files: () => undefined,
    onEvent: (event) => void events.push(event),
  })
  for (const [index, step] of steps.entries()) {
    const now = index === 0 ? parts('before', 'other') : parts(`now ${index}`)
    await watcher.miss(step, { digest: sha256(`now ${index}`), parts: now })
  }
  return { steps, events, asked: asked() }
}

test('a change is followed to the step that it began with', async () => {
  const { steps, events } = await explained(50)
  const [first, ...rest] = events.map((event) =>
    event.type === 'explain' && event.verdict.state === 'miss' ? event.verdict.cause : undefined,
  )
  expect(first).toMatchObject({ reason: 'changed', changes: [{ type: 'command' }] })
  for (const cause of rest) expect(cause).toMatchObject({ reason: 'changed', changes: [{ type: 'step', id: steps[0]?.id }] })
})

test('each step is looked at a few times, however many stand on it', async () => {
  const [few, many] = [await explained(100), await explained(400)]
  expect(few.asked).toBeGreaterThan(0)
  expect(many.asked).toBeLessThan(few.asked * 5)
})
