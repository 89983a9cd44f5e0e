import { readdirSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { openStore, type Store } from '../../../src/store/store.ts'
import { temporaryStore } from '../../suites/temporary-store.ts'

/** Two stores on one directory stand for two processes here: flock tells open files apart, not processes. test/hostile/store has real ones. */
describe('locks', () => {
  let one: Store
  let two: Store
  let dispose: () => Promise<void>
  beforeEach(async () => {
    const made = await temporaryStore()
    one = made.store
    two = await openStore(made.root)
    dispose = async () => {
      await two.close()
      await made.dispose()
    }
  })
  afterEach(() => dispose())

  test('one exclusive holder at a time, any number of shared ones, and no file is left', async () => {
    const trace: string[] = []
    const hold = (store: Store, name: string, mode: 'shared' | 'exclusive') =>
      store.locks.withLock('odd/name:\n', { mode }, async () => {
        trace.push(`+${name}`)
        await sleep(20)
        trace.push(`-${name}`)
      })
    await Promise.all([hold(one, 'a', 'exclusive'), hold(two, 'b', 'exclusive'), hold(one, 'c', 'exclusive')])
    for (let index = 0; index < trace.length; index += 2) expect(trace[index]?.slice(1)).toBe(trace[index + 1]?.slice(1))
    expect(readdirSync(one.layout.locks)).toEqual([])
    trace.length = 0
    await Promise.all([hold(one, 'a', 'shared'), hold(two, 'b', 'shared')])
    expect(trace.slice(0, 2).sort()).toEqual(['+a', '+b'])
  })

  test('who waits is woken when the holder is done, and not at the next look', async () => {
    const late: number[] = []
    for (let round = 0; round < 8; round += 1) {
      const held = one.locks.tryLock('x', 'exclusive') as { release(options?: { remove?: boolean }): void }
      const woken = two.locks.withLock('x', { mode: 'exclusive' }, async () => performance.now())
      // By now it looks every tenth of a second.
      await sleep(330 + round * 10)
      const done = performance.now()
      held.release({ remove: true })
      late.push((await woken) - done)
    }
    // The machine may be slow at times.
    expect(late.sort((a, b) => a - b)[5]).toBeLessThan(20)
  })

  test('tryLock says whether it got it', () => {
    const lock = one.locks.tryLock('x', 'exclusive')
    expect(two.locks.tryLock('x', 'exclusive')).toBeUndefined()
    expect(two.locks.tryLock('x', 'shared')).toBeUndefined()
    lock?.release()
    two.locks.tryLock('x', 'exclusive')?.release()
  })

  test('a lock is released when the work fails', async () => {
    await expect(one.locks.withLock('x', { mode: 'exclusive' }, async () => Promise.reject(new Error('no')))).rejects.toThrow('no')
    await two.locks.withLock('x', { mode: 'exclusive' }, async () => {})
  })

  test.each([
    ['in the same process', () => one],
    ['in another process', () => two],
  ])('waiting for a holder %s ends with the signal', async (_name, waiter) => {
    const stop = new AbortController()
    await one.locks.withLock('x', { mode: 'exclusive' }, async () => {
      const waiting = waiter().locks.withLock('x', { mode: 'exclusive', signal: stop.signal }, async () => 'got it')
      setTimeout(() => stop.abort(), 20)
      await expect(waiting).rejects.toMatchObject({ code: 'CANCELED' })
    })
    // The queue goes on behind the one that left.
    expect(await waiter().locks.withLock('x', { mode: 'exclusive' }, async () => 'next')).toBe('next')
  })

  test('single flight: twenty callers, one run', async () => {
    let runs = 0
    let made: string | undefined
    const call = (store: Store) =>
      store.locks.singleFlight(
        'key',
        async () => made,
        async () => {
          runs++
          await sleep(30)
          made = 'result'
          return made
        },
      )
    const results = await Promise.all(Array.from({ length: 20 }, (_, index) => call(index % 2 === 0 ? one : two)))
    expect(new Set(results)).toEqual(new Set(['result']))
    expect(runs).toBe(1)
  })

  test('single flight: where the runner fails it gets its error, and the next one runs', async () => {
    let made: string | undefined
    const failing = one.locks.singleFlight(
      'key',
      async () => made,
      async () => sleep(20).then(() => Promise.reject(new Error('exit 1'))),
    )
    const second = two.locks.singleFlight(
      'key',
      async () => made,
      async () => 'second',
    )
    await expect(failing).rejects.toThrow('exit 1')
    expect(await second).toBe('second')
  })
})
