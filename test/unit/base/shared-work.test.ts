import { SharedWork } from '../../../src/base/shared-work.ts'

describe('work that is shared', () => {
  test('is done once, for callers at the same time and for later ones', async () => {
    const shared = new SharedWork<string, number>()
    let runs = 0
    const work = async () => {
      runs += 1
      return runs
    }
    expect(await Promise.all([shared.of('a', work), shared.of('a', work)])).toEqual([1, 1])
    expect(await shared.of('a', work)).toBe(1)
    expect(await shared.of('b', work)).toBe(2)
  })

  test('fails for all who wait for it, and is tried again by the next', async () => {
    const shared = new SharedWork<string, string>()
    const failing = () => Promise.reject(new Error('first'))
    const both = await Promise.allSettled([shared.of('a', failing), shared.of('a', async () => 'not run')])
    expect(both.map(({ status }) => status)).toEqual(['rejected', 'rejected'])
    expect(await shared.of('a', async () => 'second')).toBe('second')
  })

  test('is not shared any more once its caller has given up, though it has not ended yet', async () => {
    const shared = new SharedWork<string, string>()
    const first = new AbortController()
    let fail = (_error: Error) => {}
    const under = shared.of('a', () => new Promise((_resolve, reject) => (fail = reject)), first.signal)
    first.abort()
    expect(await shared.of('a', async () => 'second', new AbortController().signal)).toBe('second')
    fail(new Error('the first one'))
    await expect(under).rejects.toThrow('the first one')
    // The late failure takes nothing away from the second.
    expect(await shared.of('a', async () => 'third')).toBe('second')
  })

  test('is done anew by who waits for it when its caller gives up', async () => {
    const shared = new SharedWork<string, string>()
    const first = new AbortController()
    const under = shared.of('a', () => new Promise((_resolve, reject) => first.signal.addEventListener('abort', reject)), first.signal)
    const others = [1, 2].map(() => shared.of('a', async () => 'second', new AbortController().signal))
    first.abort()
    await expect(under).rejects.toMatchObject({ type: 'abort' })
    expect(await Promise.all(others)).toEqual(['second', 'second'])
  })

  test('is not done anew by who has given up, too', async () => {
    const shared = new SharedWork<string, string>()
    const first = new AbortController()
    const under = shared.of('a', () => new Promise((_resolve, reject) => first.signal.addEventListener('abort', reject)), first.signal)
    const other = shared.of('a', async () => 'second', first.signal)
    first.abort()
    expect((await Promise.allSettled([under, other])).map(({ status }) => status)).toEqual(['rejected', 'rejected'])
  })

  test('stays when its caller gives up after it was done', async () => {
    const shared = new SharedWork<string, string>()
    const caller = new AbortController()
    await shared.of('a', async () => 'first', caller.signal)
    caller.abort()
    expect(await shared.of('a', async () => 'second')).toBe('first')
  })

  test('is forgotten when it is cleared', async () => {
    const shared = new SharedWork<string, string>()
    await shared.of('a', async () => 'first')
    shared.clear()
    expect(await shared.of('a', async () => 'second')).toBe('second')
  })
})
