import { readdirSync, truncateSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from '@jest/globals'
import { hexOf, sha256 } from '../../../src/base/digest.ts'
import { collect } from '../../../src/store/collect.ts'
import type { Store } from '../../../src/store/store.ts'
import { temporaryStore } from '../../suites/temporary-store.ts'

const text = 'a\0file\0\xff\0'
const digest = sha256(Buffer.from(text, 'latin1'))
let store: Store
let dispose: () => Promise<void>
beforeEach(async () => {
  ;({ store, dispose } = await temporaryStore())
})
afterEach(() => dispose())

const path = () => join(store.layout.listings, hexOf(digest))

test('a listing is found by the digest of its text, and written once', () => {
  expect(store.listings.load(digest)).toBeUndefined()
  store.listings.save(digest, () => text)
  store.listings.save(digest, () => {
    throw new Error('asked again')
  })
  expect(store.listings.load(digest)).toBe(text)
})

test('a torn or foreign one is as good as none', () => {
  store.listings.save(digest, () => text)
  truncateSync(path(), 10)
  expect(store.listings.load(digest)).toBeUndefined()
  writeFileSync(path(), 'no gzip')
  expect(store.listings.load(digest)).toBeUndefined()
  const other = sha256('other')
  store.listings.save(other, () => text)
  expect(store.listings.load(other)).toBeUndefined()
})

test('gc keeps what records name', async () => {
  store.listings.save(digest, () => text)
  store.listings.save(sha256('x'), () => 'x')
  const now = new Date().toISOString()
  const parts = [{ name: 'source 1', value: { content: digest } }]
  await store.cache.save({ version: 1, key: sha256('key'), parts, step: 's', layers: [], created: now, lastUsed: now })
  await collect(store, { dryRun: true })
  expect(readdirSync(store.layout.listings)).toHaveLength(2)
  await collect(store)
  expect(readdirSync(store.layout.listings)).toEqual([hexOf(digest)])
})
