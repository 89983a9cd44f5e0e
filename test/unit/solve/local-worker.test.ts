import { describe, expect, test } from '@jest/globals'
import { sha256 } from '../../../src/base/digest.ts'
import type { HttpOp } from '../../../src/graph/op.ts'
import type { StepDeps } from '../../../src/ops/types.ts'
import { LocalWorker } from '../../../src/solve/local-worker.ts'
import type { LayerId, Snapshot } from '../../../src/store/types.ts'
import { DEFAULT_LIMITS } from '../../../src/values/limits.ts'

const refuse = () => Promise.reject(new Error('no op of these needs it'))
const layer = (name: string) => name as LayerId

/** Deps for ADD of a URL, whose file is there when `release` was called for it. */
function fakes() {
  const log: string[] = []
  const waiting: (() => void)[] = []
  const deps: StepDeps = {
    remotes: {
      file: async ({ filename }) => ({ name: filename, digest: sha256(filename), mtime: 0 }),
      placeFile: async ({ name }) => {
        log.push(`places ${name}`)
        await new Promise<void>((resolve) => waiting.push(resolve))
      },
      commit: refuse,
      checkout: refuse,
      image: () => [layer('base')],
    },
    layers: {
      add: refuse,
      directories: async (layers: Snapshot) => {
        if (layers.length > 0) log.push(`fetches ${layers.join()}`)
        return [...layers]
      },
    },
    snapshots: {
      prepare: async (parent) => ({ parent, upper: '', work: '', lower: [] }),
      commit: async () => layer('made'),
      discard: async () => {},
    },
    content: { digest: refuse },
    contexts: { files: refuse },
    sandbox: { exec: refuse },
    cacheMounts: { acquire: refuse },
    cacheMountOwner: undefined,
    secrets: { secret: refuse, withholds: () => false, ssh: refuse },
    limits: DEFAULT_LIMITS,
  }
  const release = async () => {
    waiting.shift()?.()
    await new Promise((resolve) => setImmediate(resolve))
  }
  return { deps, log, release }
}

const url = (filename: string): HttpOp => ({ kind: 'http', url: `https://example.com/${filename}`, filename })

function io(log: string[], name: string, signal = new AbortController().signal) {
  return { vertex: name, signal, emit: () => {}, onStart: () => void log.push(`${name} starts`) }
}

describe('the local worker', () => {
  test('runs so many steps at once, in the order in which they came', async () => {
    const { deps, log, release } = fakes()
    const worker = new LocalWorker(deps, { least: 2 })
    const runs = ['a', 'b', 'c'].map((name) => worker.run({ op: url(name), root: [], inputs: [] }, io(log, name)))
    await release()
    expect(log).toEqual(['a starts', 'b starts', 'places a', 'places b'])
    await release()
    expect(log.slice(4)).toEqual(['c starts', 'places c'])
    for (let at = 0; at < 2; at += 1) await release()
    expect(await Promise.all(runs)).toEqual(runs.map(() => ({ kind: 'snapshot', layers: [layer('made')] })))
  })

  test('runs more at once while the machine has nothing to do, and as many as before afterwards', async () => {
    const { deps, log, release } = fakes()
    const answers = [0, 2, 0]
    let forgotten = false
    const forget = () => {
      forgotten = true
    }
    const spare = { steps: () => answers.shift() ?? 0, forget }
    const worker = new LocalWorker(deps, { least: 1, spare })
    const names = ['a', 'b', 'c', 'd', 'e']
    const runs = names.map((name) => worker.run({ op: url(name), root: [], inputs: [] }, io(log, name)))
    const starts = () => log.filter((line) => line.endsWith('starts')).length
    const until = async (condition: () => boolean) => {
      while (!condition()) await new Promise((resolve) => setTimeout(resolve, 5))
    }
    await release()
    expect(starts()).toBe(1)
    await until(() => answers.length === 1)
    await new Promise((resolve) => setImmediate(resolve))
    expect(starts()).toBe(3)
    await until(() => answers.length === 0)
    // The machine is busy again: those that run go on, and another begins when they have ended.
    for (const begun of [3, 3, 4, 5, 5]) {
      await release()
      expect(starts()).toBe(begun)
    }
    await Promise.all(runs)
    await until(() => forgotten)
  })

  test('begins a step when the files that it needs are there', async () => {
    const { deps, log, release } = fakes()
    const root = [layer('below')]
    const run = new LocalWorker(deps, { least: 1 }).run(
      { op: url('a'), root, inputs: [{ kind: 'snapshot', layers: [layer('read')] }] },
      io(log, 'a'),
    )
    await release()
    expect(log).toEqual(['fetches below,read', 'a starts', 'places a'])
    await release()
    await run
  })

  test('what is only named takes no slot', async () => {
    const { deps, log, release } = fakes()
    const worker = new LocalWorker(deps, { least: 1 })
    const run = worker.run({ op: url('a'), root: [], inputs: [] }, io(log, 'a'))
    const image = { kind: 'image', name: 'base', platform: { os: 'linux', architecture: 'amd64' }, digest: sha256('') } as const
    expect(await worker.run({ op: image, root: [], inputs: [] }, io(log, 'image'))).toEqual({ kind: 'snapshot', layers: [layer('base')] })
    await release()
    await release()
    await run
  })

  test('a step that is stopped before it has a slot never starts', async () => {
    const { deps, log, release } = fakes()
    const worker = new LocalWorker(deps, { least: 1 })
    const stop = new AbortController()
    const [first, second] = ['a', 'b'].map((name) => worker.run({ op: url(name), root: [], inputs: [] }, io(log, name, stop.signal)))
    const ends = Promise.allSettled([first, second])
    await release()
    stop.abort(new Error('stopped'))
    await release()
    expect(await ends).toMatchObject([{ reason: { message: 'stopped' } }, { reason: { message: 'stopped' } }])
    expect(log).not.toContain('b starts')
  })
})
