import { readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { sha256 } from '../../../src/base/digest.ts'
import type { Store } from '../../../src/store/store.ts'
import { temporaryStore } from '../../suites/temporary-store.ts'

describe('the stat cache', () => {
  let store: Store
  let dispose: () => Promise<void>
  beforeEach(async () => {
    ;({ store, dispose } = await temporaryStore())
  })
  afterEach(() => dispose())

  const only = () => join(store.layout.stat, readdirSync(store.layout.stat)[0] as string)

  test('remembers by context root, and is written only when something is new', () => {
    const first = store.statCache.open('/context')
    expect(first.get('a')).toBeUndefined()
    first.save()
    expect(readdirSync(store.layout.stat)).toEqual([])
    first.set('a', 'sha256:1')
    first.save()
    const again = store.statCache.open('/context')
    expect(again.get('a')).toBe('sha256:1')
    const before = statSync(only()).ino
    again.save()
    expect(statSync(only()).ino).toBe(before)
    expect(store.statCache.open('/other').get('a')).toBeUndefined()
  })

  test('keeps fewer unused ones where it is told to', () => {
    const open = () => store.statCache.open('few', { spare: 2 })
    for (const key of ['a', 'b', 'c']) {
      const cache = open()
      cache.set(key, `sha256:${key}`)
      cache.save()
    }
    expect(['a', 'b', 'c'].map((key) => open().get(key))).toEqual(['sha256:a', 'sha256:b', 'sha256:c'])
    const cache = open()
    cache.set('d', 'sha256:d')
    cache.save()
    expect(['a', 'b', 'c', 'd'].map((key) => open().get(key))).toEqual([undefined, undefined, undefined, 'sha256:d'])
  })

  test('a damaged file is an empty one', () => {
    const cache = store.statCache.open('/context')
    cache.set('a', 'sha256:1')
    cache.save()
    const text = readFileSync(only(), 'latin1')
    for (const damaged of [text.slice(0, -3), text.replace('sha256:1', 'sha256:2'), '', '\0'.repeat(100)]) {
      writeFileSync(only(), damaged)
      expect(store.statCache.open('/context').get('a')).toBeUndefined()
    }
  })

  test('20,000 entries, of which the unused ones of long ago are forgotten', () => {
    const cache = store.statCache.open('/context')
    for (let index = 0; index < 20_000; index++) cache.set(`key ${index}`, sha256(String(index)))
    cache.save()
    expect(store.statCache.open('/context').get('key 777')).toBe(sha256('777'))
    const next = store.statCache.open('/context')
    for (let index = 0; index < 20; index++) next.set(`new${index}`, 'x')
    next.save()
    const size = readFileSync(only(), 'latin1').split('\n').length
    expect(size).toBe(20_000 + 20 + 2)
    const third = store.statCache.open('/context')
    third.set('one more', 'x')
    third.save()
    expect(readFileSync(only(), 'latin1').split('\n').length).toBe(1 + 2)
  })
})
