import { appendFileSync, readdirSync, readFileSync, statSync, unlinkSync, utimesSync } from 'node:fs'
import { basename, join } from 'node:path'
import { type Digest, hexOf, isDigest, parseDigest, sha256Hex } from '../base/digest.ts'
import { readSealed, sealJson, writeAtomicSync } from './atomic-file.ts'
import type { Layers, LayersDeps } from './layers.ts'
import type { StoreLayout } from './layout.ts'
import { ifPresent, storeError } from './store-error.ts'
import type { CacheIndex, CacheRecord, LayerId } from './types.ts'

/** A hit renews `lastUsed` (the file's mtime) only when it is older than this: a cached build writes nothing. Milliseconds. */
const COARSE = 60 * 60 * 1000
/** Keys kept for one step, and the length of its list at which the older ones are dropped. */
const KEPT = 16
const LONG = 64

/** Records as sealed JSON files by key. Torn, foreign and misplaced ones are misses. */
export function createCacheIndex(
  { layout, leases, onWrite }: Pick<LayersDeps, 'layout' | 'leases' | 'onWrite'>,
  layers: Pick<Layers, 'claim'>,
): CacheIndex {
  const file = (key: Digest) => join(layout.records, `${hexOf(parseDigest(key))}.json`)
  const stepFile = (step: string) => join(layout.steps, sha256Hex(step).slice(0, 40))

  const load = (key: Digest) => loadRecord(file(key), key)

  function keysOf(step: string): Digest[] {
    const text = ifPresent(() => readFileSync(stepFile(step), 'latin1')) ?? ''
    return [...new Set(text.split('\n').filter(isDigest).reverse())]
  }

  function remember(step: string, key: Digest): void {
    const path = stepFile(step)
    appendFileSync(path, `${key}\n`, { mode: 0o600 })
    if (statSync(path).size < LONG * (key.length + 1)) return
    const text = keysOf(step).slice(0, KEPT).reverse().join('\n')
    writeAtomicSync(leases.temporary(), path, `${text}\n`, { durable: false })
  }

  function touch(record: CacheRecord): void {
    const now = Date.now()
    if (now - Date.parse(record.lastUsed) < COARSE) return
    ifPresent(() => utimesSync(file(record.key), now / 1000, now / 1000))
  }

  return {
    async find(key) {
      try {
        const record = load(key)
        if (record === undefined || [...(await layers.claim(record.layers)).values()].includes('missing')) return undefined
        touch(record)
        return record
      } catch (error) {
        throw storeError(error, 'read its cache records')
      }
    },
    async nearest(step, limit = 3) {
      const found: CacheRecord[] = []
      for (const key of keysOf(step)) {
        if (found.length >= limit) break
        const record = load(key)
        if (record?.step === step) found.push(record)
      }
      return found
    },
    async save(record) {
      try {
        const path = file(record.key)
        writeAtomicSync(leases.temporary(), path, sealJson(record as never), { durable: false })
        const used = Date.parse(record.lastUsed) / 1000
        utimesSync(path, used, used)
        remember(record.step, record.key)
        onWrite(path)
        onWrite(stepFile(record.step))
      } catch (error) {
        throw storeError(error, 'keep a cache record')
      }
    },
    async *list() {
      yield* rawRecords(layout)
    },
    async delete(key) {
      try {
        ifPresent(() => unlinkSync(file(key)))
      } catch (error) {
        throw storeError(error, 'delete a cache record')
      }
    },
  }
}

/** All whole records, with or without their layers. Who keeps many has the id of a layer once, not once a record that has it. */
export function* rawRecords(layout: StoreLayout): Generator<CacheRecord> {
  const ids = new Map<LayerId, LayerId>()
  for (const name of readdirSync(layout.records)) {
    const record = readRecord(join(layout.records, name))
    if (record === undefined) continue
    for (const id of record.layers) if (!ids.has(id)) ids.set(id, id)
    yield { ...record, layers: record.layers.map((id) => ids.get(id) as LayerId) }
  }
}

/** The record in a file of the records' folder, whole or undefined. */
export function readRecord(path: string): CacheRecord | undefined {
  const digest = `sha256:${basename(path, '.json')}`
  return isDigest(digest) ? loadRecord(path, digest) : undefined
}

function loadRecord(path: string, key: Digest): CacheRecord | undefined {
  const record = readSealed(path)
  if (!isRecord(record) || record.key !== key) return undefined
  const used = ifPresent(() => statSync(path))
  return used === undefined ? undefined : { ...record, lastUsed: used.mtime.toISOString() }
}

function isRecord(value: unknown): value is CacheRecord {
  const record = value as Partial<CacheRecord> | null | undefined
  return record?.version === 1 && isDigest(record.key) && Array.isArray(record.layers) && Array.isArray(record.parts)
}
