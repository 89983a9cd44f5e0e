import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals'
import { TbuildError } from '../../../src/base/errors.ts'
import { build, context, copy, FakeImports, FakeStore, image, layer, run, source } from './walk-fakes.ts'

let folder = ''
let store: FakeStore
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'tbuild-walk-'))
  store = new FakeStore(folder)
})
afterEach(() => rmSync(folder, { recursive: true, force: true }))

function gate() {
  let open = () => {}
  const opened = new Promise<void>((resolve) => {
    open = resolve
  })
  return { open, opened }
}

const until = (signal: AbortSignal) =>
  new Promise<never>((_resolve, reject) => signal.addEventListener('abort', () => reject(new Error('stopped')), { once: true }))

describe('keys', () => {
  test('each is computed once, whatever asks for it', async () => {
    const files = context()
    const shared = copy(files, image())
    const [left, right] = [run('left', shared), run('right', shared)]
    const { walk, files: caller, worker } = build(folder, store)
    await Promise.all([walk.solve(left), walk.solve(right), walk.solve(shared)])
    await walk.solve(left)
    // Once for the key, and once more to see whether the files are still the same when they were copied.
    expect(caller.hashed).toBe(2)
    expect(worker.ran).toEqual(['copy', 'left', 'right'])
  })

  test('of files that change while they are copied are of what was copied', async () => {
    const target = run('use', copy(context(), image()))
    const { walk, worker, files, kept } = build(folder, store)
    worker.make = async () => {
      files.content = 'new'
    }
    await walk.solve(target)
    expect(worker.ran).toEqual(['copy', 'copy', 'use'])
    expect(kept.map(({ vertex }) => vertex.name)).toEqual(['copy', 'use'])
    const second = build(folder, store)
    second.files.content = 'new'
    await second.walk.solve(run('use', copy(context(), image())))
    expect(second.worker.ran).toEqual([])
    const third = build(folder, store)
    await third.walk.solve(run('use', copy(context(), image())))
    expect(third.worker.ran).toEqual(['copy', 'use'])
  })

  test('of files that never rest are nobody else’s', async () => {
    const { walk, worker, files, kept } = build(folder, store)
    worker.make = async () => {
      files.content += '.'
    }
    await walk.solve(copy(context(), image()))
    expect(worker.ran).toEqual(['copy', 'copy', 'copy'])
    expect(kept[0]?.key.parts.map(({ name }) => name)).toContain('files that changed while they were copied')
  })
})

describe('a cached step', () => {
  test('runs nothing and fetches nothing, nor does what is below it', async () => {
    const chain = () => run('three', run('two', copy(context(), run('one', image()))))
    await build(folder, store).walk.solve(chain())
    const { walk, worker, files, events, kept } = build(folder, store)
    const target = chain()
    const layers = await walk.solve(target)
    expect(layers).toHaveLength(5)
    expect([worker.ran, kept, files.hashed, walk.executed]).toEqual([[], [], 1, 0])
    const done = events.flatMap((event) => (event.type === 'done' && event.cached ? [event.id] : []))
    expect(done).toEqual(
      [target.root?.root?.root?.root, target.root?.root?.root, target.root?.root, target.root, target].map((step) => step?.id),
    )
    expect(events.filter(({ type }) => type !== 'done')).toEqual([])
  })

  test('that is an input is not fetched: only what is below it is unknown', async () => {
    const target = () => copy(run('tool', image()), image('other'))
    await build(folder, store).walk.solve(target())
    const { walk, worker } = build(folder, store)
    expect(await walk.solve(target())).toEqual([layer('other'), layer('layer-2')])
    expect(worker.ran).toEqual([])
  })

  test('--link: a layer of its own is found on another base', async () => {
    const target = (base: string) => copy(context(), run('base', image(base)), { link: true })
    await build(folder, store).walk.solve(target('one'))
    const { walk, worker } = build(folder, store)
    expect(await walk.solve(target('two'))).toEqual([layer('two'), layer('layer-3'), layer('layer-2')])
    expect(worker.ran).toEqual(['base'])
  })
})

describe('a step that runs', () => {
  test('runs once for all that need it, and begins when all that it needs is there', async () => {
    const shared = run('shared', image())
    const { walk, worker } = build(folder, store)
    const order: string[] = []
    worker.make = async (name) => {
      order.push(`${name} begins`)
      await new Promise((resolve) => setTimeout(resolve, 5))
      order.push(`${name} ends`)
    }
    await walk.solve(copy(run('left', shared), run('right', shared)))
    expect(worker.ran).toEqual(['shared', 'left', 'right', 'copy'])
    expect(order.slice(0, 3)).toEqual(['shared begins', 'shared ends', 'left begins'])
    expect(walk.executed).toBe(4)
  })

  test('runs once for two builds at the same time', async () => {
    const [one, other] = [build(folder, store), build(folder, store)]
    const made = await Promise.all([one.walk.solve(run('make', image())), other.walk.solve(run('make', image()))])
    expect(made[0]).toEqual(made[1])
    expect([...one.worker.ran, ...other.worker.ran]).toEqual(['make'])
  })

  test('--no-cache: runs, and once for two targets that share it', async () => {
    const target = (name: string) => run(name, run('shared', image(), { noCache: true }), { noCache: true })
    await build(folder, store).walk.solve(target('left'))
    const { walk, worker } = build(folder, store)
    await Promise.all([walk.solve(target('left')), walk.solve(target('right'))])
    expect([...worker.ran].sort()).toEqual(['left', 'right', 'shared'])
  })

  test('that fails cancels the others and is the failure that is reported', async () => {
    const { walk, worker, events, kept } = build(folder, store)
    const [bad, slow] = [run('bad', image()), run('slow', image())]
    let begin = () => {}
    const begun = new Promise<void>((resolve) => {
      begin = resolve
    })
    let ended = false
    worker.make = async (name, { signal }) => {
      if (name === 'bad') return begun.then(() => Promise.reject(new TbuildError('RUN_FAILED', 'exit code: 1')))
      begin()
      await until(signal).catch(() => new Promise((resolve) => setTimeout(resolve, 20)))
      ended = true
      throw new Error('the echo')
    }
    await expect(walk.solve(copy(bad, run('never', slow)))).rejects.toMatchObject({ code: 'RUN_FAILED' })
    const failed = events.flatMap((event) => (event.type === 'failed' ? [[event.id, event.canceled]] : []))
    expect(failed).toEqual([
      [bad.id, false],
      [slow.id, true],
    ])
    expect([worker.ran, kept, ended]).toEqual([['bad', 'slow'], [], true])
  })

  test('that is refused does not run, and one that is cached is not refused', async () => {
    const refusal = new TbuildError('EMULATION_MISSING', 'cannot run')
    const target = run('foreign', image())
    const { walk, worker, events } = build(folder, store, { refused: new Map([[target, refusal]]) })
    await expect(walk.solve(target)).rejects.toMatchObject({ code: 'EMULATION_MISSING' })
    expect([worker.ran, events.map(({ type }) => type)]).toEqual([[], ['failed']])
    await build(folder, store).walk.solve(run('foreign', image()))
    const again = run('foreign', image())
    await build(folder, store, { refused: new Map([[again, refusal]]) }).walk.solve(again)
  })

  test('is stopped by the caller, whose reason is the failure', async () => {
    const stop = new AbortController()
    const { walk, worker } = build(folder, store, { signal: stop.signal })
    worker.make = async (_name, { signal }) => {
      stop.abort(new Error('Ctrl-C'))
      await Promise.race([until(signal), Promise.reject(new Error('the echo'))])
    }
    await expect(walk.solve(run('long', image()))).rejects.toThrow('Ctrl-C')
  })
})

describe('early cutoff', () => {
  const target = (args: string) => run('after', run(args, image(), { step: 'before' }))

  test('takes the layers of an earlier build that did the same to the same files', async () => {
    const first = await build(folder, store).walk.solve(target('echo 1'))
    const { walk, worker, kept, events } = build(folder, store)
    const after = target('echo 2')
    expect(await walk.solve(after)).toEqual(first)
    expect([worker.ran, kept.length]).toEqual([['echo 2'], 1])
    expect(events.at(-1)).toMatchObject({ type: 'done', id: after.id, cached: true })
    const again = build(folder, store)
    expect(await again.walk.solve(target('echo 2'))).toEqual(first)
    expect(again.worker.ran).toEqual([])
  })

  test('does not where the files are others', async () => {
    const [, before] = await build(folder, store).walk.solve(target('echo 1'))
    writeFileSync(join(folder, before as string, 'file'), '')
    const { walk, worker } = build(folder, store)
    await walk.solve(target('echo 2'))
    expect(worker.ran).toEqual(['echo 2', 'after'])
  })
})

describe('imported caches', () => {
  test('are asked for what the store does not have, and adopted when it has all layers', async () => {
    const imported = new FakeImports(store)
    const target = () => run('after', run('found', image()))
    imported.has.set('found', { layers: [layer('base'), layer('elsewhere')], pending: true })
    const { walk, worker, kept } = build(folder, store, { imported })
    const after = target()
    expect(await walk.solve(after)).toEqual([layer('base'), layer('elsewhere'), layer('layer-1')])
    expect([worker.ran, imported.asked]).toEqual([['after'], ['after', 'found', 'after']])
    await walk.adopt()
    expect(kept.map(({ vertex }) => vertex.name)).toEqual(['after', 'found'])
    const again = build(folder, store, { imported: new FakeImports(store) })
    await again.walk.solve(target().root as typeof after)
    expect(again.worker.ran).toEqual([])
  })

  test('are not believed when the caller’s files changed while they were read', async () => {
    const imported = new FakeImports(store)
    imported.has.set('copy', { layers: [layer('base'), layer('elsewhere')] })
    const { walk, worker, files } = build(folder, store, { imported })
    const { lookup } = imported
    imported.lookup = async (step) => {
      files.content = 'new'
      return lookup.call(imported, step)
    }
    await walk.solve(copy(context(), image()))
    expect(worker.ran).toEqual(['copy', 'copy'])
    expect(await walk.changedContexts()).toEqual(new Set())
  })
})

describe('a cache that promised a layer and cannot give it', () => {
  const [cache, other] = [source('cache'), source('other')]

  test('is withdrawn: the step that it had runs, and what does not stand on that goes on', async () => {
    const imported = new FakeImports(store)
    imported.promise('found', cache)
    const { walk, worker, events } = build(folder, store, { imported })
    const found = run('found', image())
    const [after, beside] = [run('after', found), run('beside', image())]
    let finish = () => {}
    const until = new Promise<void>((resolve) => {
      finish = resolve
    })
    worker.make = async (name, { signal }) => {
      if (name === 'beside') await until
      if (name === 'after') finish()
      signal.throwIfAborted()
    }
    await walk.solve(copy(beside, after))
    expect([...worker.ran].sort()).toEqual(['after', 'beside', 'copy', 'found'])
    expect([imported.withdrawn, walk.executed]).toEqual([['cache'], 4])
    const told = events.flatMap((event) => ('id' in event && event.id === after.id ? [event.type] : []))
    expect(told).toEqual(['failed', 'started', 'done'])
    expect(events.filter((event) => event.type === 'failed' && !event.canceled)).toEqual([])
  })

  test('is withdrawn once for all that stand on it', async () => {
    const imported = new FakeImports(store)
    imported.promise('found', cache)
    const { walk, worker } = build(folder, store, { imported })
    const found = run('found', image())
    await walk.solve(copy(run('left', found), run('right', found)))
    expect([...worker.ran].sort()).toEqual(['copy', 'found', 'left', 'right'])
    expect(imported.withdrawn).toEqual(['cache'])
  })

  test('costs no other cache its steps', async () => {
    const imported = new FakeImports(store)
    imported.promise('found', cache)
    const { lookup } = imported
    imported.lookup = async (step) => {
      const answer = await lookup.call(imported, step)
      return answer === undefined && step.vertex.name === 'found' ? { layers: [layer('base'), layer('good')], source: other } : answer
    }
    const { walk, worker } = build(folder, store, { imported })
    expect(await walk.solve(run('after', run('found', image())))).toEqual([layer('base'), layer('good'), layer('layer-1')])
    expect(worker.ran).toEqual(['after'])
  })

  test('is not believed when it answers after it was withdrawn', async () => {
    const imported = new FakeImports(store)
    imported.promise('early', cache)
    let answer = () => {}
    const until = new Promise<void>((resolve) => {
      answer = resolve
    })
    const { lookup, withdraw } = imported
    imported.lookup = async (step) => {
      const found = await lookup.call(imported, step)
      if (step.vertex.name !== 'late' || imported.withdrawn.length > 0) return found
      await until
      const late = layer('late')
      store.states.set(late, 'missing')
      return { layers: [layer('base'), late], source: cache }
    }
    imported.withdraw = (from) => {
      withdraw.call(imported, from)
      answer()
    }
    const { walk, worker } = build(folder, store, { imported })
    await walk.solve(copy(run('after', run('early', image())), run('late', image())))
    expect([...worker.ran].sort()).toEqual(['after', 'copy', 'early', 'late'])
  })

  test('and steps that begin while what stood on it is being opened again are no failures', async () => {
    const imported = new FakeImports(store)
    imported.promise('found', cache)
    const found = run('found', image())
    const [after, late] = [run('after', found), run('late', found)]
    const withdrawn = gate()
    const { lookup, withdraw } = imported
    imported.withdraw = (from) => {
      withdraw.call(imported, from)
      withdrawn.open()
    }
    imported.lookup = async (step) => {
      if (step.vertex.name === 'above') await withdrawn.opened
      return lookup.call(imported, step)
    }
    const { where } = store.layers
    const layers: typeof store.layers = {
      ...store.layers,
      where: async (ids) => {
        await new Promise((resolve) => setTimeout(resolve, 20))
        return where(ids)
      },
    }
    const { walk, worker } = build(folder, store, { imported, layers })
    await walk.solve(copy(after, run('above', late)))
    expect([...worker.ran].sort()).toEqual(['above', 'after', 'copy', 'found', 'late'])
    expect(imported.withdrawn).toEqual(['cache'])
  })

  test('when files of the result are read: work on it is done again, with a result that is whole', async () => {
    const imported = new FakeImports(store)
    imported.promise('found', cache)
    const { walk, worker, kept } = build(folder, store, { imported })
    const target = copy(run('beside', image()), run('found', image()), { link: true })
    let tries = 0
    const layers = await walk.retry(async () => {
      tries += 1
      const layers = await walk.solve(target)
      store.fetch(layers)
      return layers
    })
    expect(layers).not.toContain(layer('of found'))
    expect([tries, worker.ran, imported.withdrawn]).toEqual([2, ['beside', 'copy', 'found'], ['cache']])
    await walk.adopt()
    expect(kept.map(({ vertex }) => vertex.name)).toEqual(['beside', 'copy', 'found'])
  })

  test('another failure of that work is the work’s own', async () => {
    const { walk } = build(folder, store, { imported: new FakeImports(store) })
    let tries = 0
    const work = async () => {
      tries += 1
      throw new TbuildError('SNAPSHOT_MISSING', 'the store has no layer')
    }
    await expect(walk.retry(work)).rejects.toMatchObject({ code: 'SNAPSHOT_MISSING' })
    expect(tries).toBe(1)
  })
})

describe('a dry run', () => {
  test('runs nothing, and says what would run, what is cached and what cannot be known', async () => {
    const tool = (args: string) => run(args, image(), { step: 'tool' })
    const target = (args: string) => run('use', copy(tool(args), run('base', image())))
    await build(folder, store).walk.solve(target('one'))
    const said: string[] = []
    const watcher = {
      hit: ({ name }: { readonly name: string }) => void said.push(`hit ${name}`),
      miss: async ({ name }: { readonly name: string }) => void said.push(`miss ${name}`),
      unknown: ({ name }: { readonly name: string }, waits: readonly { readonly name: string }[]) =>
        void said.push(`unknown ${name} for ${waits.map((step) => step.name).join()}`),
    }
    const { walk, worker } = build(folder, store, { watcher })
    await walk.plan(target('two'))
    expect(said).toEqual(['hit base', 'miss two', 'unknown copy for two', 'unknown use for two'])
    expect(worker.ran).toEqual([])
  })
})

describe('a chain that is longer than the stack', () => {
  const roots = () => {
    let at = image()
    for (let index = 0; index < 1000; index += 1) at = copy(context(), at)
    return at
  }
  const inputs = () => {
    let at = copy(context())
    for (let index = 0; index < 3000; index += 1) at = copy(at)
    return at
  }

  test.each([
    ['roots', roots, 1000],
    ['inputs', inputs, 3001],
  ])('of %s is run, found and planned', async (_name, chain, length) => {
    const first = build(folder, store)
    const layers = await first.walk.solve(chain())
    expect(first.walk.executed).toBe(length)
    const again = build(folder, store, { imported: new FakeImports(store) })
    expect(await again.walk.solve(chain())).toEqual(layers)
    expect(again.walk.executed).toBe(0)
    expect(again.events.filter(({ type }) => type === 'done').length).toBeGreaterThanOrEqual(length)
    await build(folder, store).walk.plan(chain())
    const asked = new FakeImports(store)
    const lone = build(folder, new FakeStore(folder), { imported: asked })
    await lone.walk.plan(chain())
    expect(lone.worker.ran).toEqual([])
  })
})
