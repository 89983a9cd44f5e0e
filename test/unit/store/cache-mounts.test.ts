import { existsSync, readdirSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { openStore, type Store } from '../../../src/store/store.ts'
import { temporaryStore } from '../../suites/temporary-store.ts'

describe('cache mounts', () => {
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

  test('M7 shared: all users have one directory', async () => {
    const a = await one.cacheMounts.acquire({ id: 'c', sharing: 'shared' })
    const b = await two.cacheMounts.acquire({ id: 'c', sharing: 'shared' })
    expect(b.directory).toBe(a.directory)
    a.release()
    b.release()
  })

  test('M7 private: a second user gets another directory, an idle one is taken again', async () => {
    const a = await one.cacheMounts.acquire({ id: 'c', sharing: 'private' })
    const b = await two.cacheMounts.acquire({ id: 'c', sharing: 'private' })
    expect(b.directory).not.toBe(a.directory)
    a.release()
    const c = await two.cacheMounts.acquire({ id: 'c', sharing: 'private' })
    expect(c.directory).toBe(a.directory)
    b.release()
    c.release()
  })

  test('M7 shared joins those who share, not an idle directory', async () => {
    const alone = await one.cacheMounts.acquire({ id: 'c', sharing: 'private' })
    const a = await one.cacheMounts.acquire({ id: 'c', sharing: 'shared' })
    alone.release()
    const b = await two.cacheMounts.acquire({ id: 'c', sharing: 'shared' })
    expect(b.directory).toBe(a.directory)
    a.release()
    b.release()
  })

  test('M7 locked: the second waits for the first, on the same directory', async () => {
    const a = await one.cacheMounts.acquire({ id: 'c', sharing: 'locked' })
    let released = false
    const waiting = two.cacheMounts.acquire({ id: 'c', sharing: 'locked' }).then((use) => ({ use, released }))
    await new Promise((resolve) => setTimeout(resolve, 50))
    released = true
    a.release()
    const b = await waiting
    expect(b).toMatchObject({ released: true, use: { directory: a.directory } })
    b.use.release()
  })

  test('M7 a wait for a locked cache ends with the signal', async () => {
    const a = await one.cacheMounts.acquire({ id: 'c', sharing: 'locked' })
    const signal = AbortSignal.timeout(30)
    await expect(two.cacheMounts.acquire({ id: 'c', sharing: 'locked' }, { signal })).rejects.toMatchObject({ code: 'CANCELED' })
    a.release()
  })

  test('M5 another scope is another cache', async () => {
    const uses = await Promise.all(
      [{ id: 'c' }, { id: 'c', scope: 'uid=1' }, { id: 'd' }, { id: '../../../../tmp/victim' }].map((request) =>
        one.cacheMounts.acquire({ ...request, sharing: 'shared' }),
      ),
    )
    expect(new Set(uses.map(({ directory }) => directory)).size).toBe(4)
    for (const use of uses) {
      expect(use.directory.startsWith(one.layout.mounts)).toBe(true)
      use.release()
    }
  })

  test('M6 mode and content are given to a new directory only', async () => {
    const seed = async (directory: string) => writeFileSync(join(directory, 'seed'), '')
    const a = await one.cacheMounts.acquire({ id: 'c', sharing: 'shared', mode: 0o1777, seed })
    expect(statSync(a.directory).mode & 0o7777).toBe(0o1777)
    expect(readdirSync(a.directory)).toEqual(['seed'])
    a.release()
    const b = await one.cacheMounts.acquire({ id: 'c', sharing: 'shared', mode: 0o700 })
    expect(statSync(b.directory).mode & 0o7777).toBe(0o1777)
    b.release()
    const plain = await one.cacheMounts.acquire({ id: 'plain', sharing: 'shared' })
    expect(statSync(plain.directory).mode & 0o7777).toBe(0o755)
    plain.release()
  })

  test('they are listed by id, and removed when nobody uses them', async () => {
    const use = await one.cacheMounts.acquire({ id: '/root/.npm', sharing: 'shared' })
    writeFileSync(join(use.directory, 'x'), 'x')
    const [entry] = two.cacheMounts.list()
    expect(entry).toMatchObject({ id: '/root/.npm', directories: [use.directory], inUse: true })
    expect(Date.now() - Date.parse(entry?.lastUsed ?? '')).toBeLessThan(60_000)
    expect(await two.cacheMounts.remove(entry?.key as never)).toBe(false)
    expect(existsSync(join(use.directory, 'x'))).toBe(true)
    use.release()
    expect(await two.cacheMounts.remove(entry?.key as never)).toBe(true)
    expect(two.cacheMounts.list()).toEqual([])
    expect(readdirSync(two.layout.tmp)).toEqual([])
  })
})
