import { existsSync, lstatSync, readdirSync, renameSync } from 'node:fs'
import { join } from 'node:path'
import { type Digest, isDigest } from '../base/digest.ts'
import { errorCode } from '../base/errors.ts'
import { readRecord } from './cache-index.ts'
import { isListing } from './content-listings.ts'
import { isFileDigests } from './file-digests.ts'
import { rawImages } from './image-index.ts'
import { storedImages } from './oci-index.ts'
import { removeTree } from './remove-tree.ts'
import { isStatCache } from './stat-cache.ts'
import type { Store } from './store.ts'
import { ifPresent } from './store-error.ts'
import type { LayerId, LayerInfo } from './types.ts'

/** Something that was wrong, and was forgotten when `repair` was asked for. */
export interface StoreDamage {
  readonly type: 'blob' | 'layer' | 'record' | 'image' | 'mount' | 'listing' | 'stat' | 'foreign'
  readonly id: string
  readonly problem: string
  readonly forgotten: boolean
}

/** A layer's tree is as it was, differs, or nothing is known to compare it with. */
export type LayerVerdict = { readonly state: 'same' | 'unknown' } | { readonly state: 'changed'; readonly problem: string }

export interface VerifyOptions {
  readonly repair?: boolean
  /** Compares a layer's tree with what is known of it. From a higher room, which can read trees. */
  readonly checkLayer?: (id: LayerId, info: LayerInfo) => Promise<LayerVerdict>
  readonly onProgress?: (done: { type: StoreDamage['type']; id: string }) => void
}

export interface Verified {
  readonly findings: readonly StoreDamage[]
  /** How many of each type were looked at. */
  readonly checked: Readonly<Record<StoreDamage['type'], number>>
  /** Layers whose files have nothing that they could be compared with: steps that no image of an earlier build has. */
  readonly unknownLayers: number
}

/**
 * Reads everything: each blob against its digest, each layer, each record. Repairs by forgetting: what is missing is made or fetched again. Builds may run
 * meanwhile: what vanishes while it is looked at is no finding.
 */
export async function verifyStore(store: Store, options: VerifyOptions = {}): Promise<Verified> {
  const check = new Verification(store, options)
  await store.leases.sweep()
  // In this order: a record is only as good as its layers, an image as its blobs.
  await check.blobs()
  await check.layers()
  await check.records()
  await check.images()
  await check.caches()
  return { findings: check.findings, checked: check.checked, unknownLayers: check.unknownLayers }
}

type NewDamage = Omit<StoreDamage, 'forgotten'>

class Verification {
  readonly findings: StoreDamage[] = []
  readonly checked: Record<StoreDamage['type'], number> = {
    blob: 0,
    layer: 0,
    record: 0,
    image: 0,
    mount: 0,
    listing: 0,
    stat: 0,
    foreign: 0,
  }
  unknownLayers = 0
  readonly #store: Store
  readonly #options: VerifyOptions

  constructor(store: Store, options: VerifyOptions) {
    this.#store = store
    this.#options = options
  }

  async blobs(): Promise<void> {
    const { blobs, layout } = this.#store
    for (const name of readdirSync(layout.blobs)) {
      const digest = `sha256:${name}`
      if (!isDigest(digest)) {
        await this.#forgetFile({ type: 'foreign', id: join(layout.blobs, name), problem: 'it is no blob' }, join(layout.blobs, name))
        continue
      }
      const problem = await this.#problemOfBlob(digest)
      if (problem !== undefined) await this.#forget({ type: 'blob', id: digest, problem }, () => blobs.delete(digest))
      this.#done('blob', digest)
    }
    for (const digest of storedImages(layout)) {
      // The index belongs to other tools: it is theirs to mend.
      if (!existsSync(blobs.path(digest))) {
        this.findings.push({ type: 'image', id: digest, problem: 'index.json names it, and it is not there', forgotten: false })
      }
    }
  }

  async #problemOfBlob(digest: Digest): Promise<string | undefined> {
    try {
      for await (const _chunk of this.#store.blobs.get(digest));
      return undefined
    } catch (error) {
      const code = errorCode(error)
      if (code === 'BLOB_MISSING') return undefined
      if (code === 'BLOB_CORRUPT' || code === 'STORE_IO') return (error as Error).message
      throw error
    }
  }

  async layers(): Promise<void> {
    const { layers } = this.#store
    for (const id of layers.directories()) {
      const problem = await this.#problemOfLayer(id)
      if (problem !== undefined) await this.#forget({ type: 'layer', id, problem }, () => this.#forgetLayer(id))
      this.#done('layer', id)
    }
    for (const id of layers.known()) {
      if (layers.info(id) === undefined && layers.known().includes(id)) {
        await this.#forget({ type: 'layer', id, problem: 'what is known of it is torn' }, () => layers.forget(id))
      }
    }
  }

  async #problemOfLayer(id: LayerId): Promise<string | undefined> {
    const { layers } = this.#store
    // Claimed, so that gc leaves it while it is read.
    await layers.claim([id])
    const state = layers.state(id)
    // A power cut before the directory was synced: it is unpacked again from the blob, which was found to be good.
    if (state === 'blob') return undefined
    if (state !== 'directory') {
      if (!layers.directories().includes(id)) return undefined
      return 'it was not completely written before the machine went down, or its directory is damaged'
    }
    const verdict = (await this.#options.checkLayer?.(id, layers.info(id) ?? {})) ?? { state: 'unknown' }
    if (verdict.state === 'unknown') this.unknownLayers += 1
    return verdict.state === 'changed' ? verdict.problem : undefined
  }

  /** With what is known of it, which may be what is wrong. */
  async #forgetLayer(id: LayerId): Promise<void> {
    const { layers, leases } = this.#store
    const away = this.#store.temporary()
    await leases.exclusively(() => {
      layers.takeAway(id, away)
      layers.forget(id)
    })
    await removeTree(away)
  }

  async records(): Promise<void> {
    const { cache, layers, layout } = this.#store
    for (const name of readdirSync(layout.records)) {
      const path = join(layout.records, name)
      const record = readRecord(path)
      this.#done('record', name)
      if (record === undefined) {
        if (isThere(path)) await this.#forgetFile({ type: 'record', id: name, problem: 'it is torn' }, path)
        continue
      }
      const missing = record.layers.find((id) => layers.state(id) === 'missing')
      // gc takes a record before its layers: one that is gone by now is in order.
      if (missing === undefined || !isThere(path)) continue
      const problem = `it names a layer that is not there: ${missing}`
      await this.#forget({ type: 'record', id: record.key, problem }, () => cache.delete(record.key))
    }
  }

  async images(): Promise<void> {
    const { layers, layout, blobs } = this.#store
    for (const { path, record } of rawImages(layout)) {
      this.#done('image', record?.name ?? path)
      if (record === undefined) {
        await this.#forgetFile({ type: 'image', id: path, problem: 'its record is torn' }, path)
        continue
      }
      const missing = record.layers.find(({ id }) => layers.state(id) === 'missing')
      const noConfig = existsSync(blobs.path(record.config)) ? undefined : 'its config is not there'
      const problem = missing ? `its layer ${missing.id} is not there` : noConfig
      if (problem !== undefined) await this.#forgetFile({ type: 'image', id: record.name, problem }, path)
    }
  }

  /** What only saves time: cache mounts, digests of files, and what explain shows. */
  async caches(): Promise<void> {
    const { layout, cacheMounts } = this.#store
    for (const entry of cacheMounts.list()) {
      this.#done('mount', entry.id)
      const problem = cacheMounts.problem(entry.key)
      if (problem !== undefined && !entry.inUse) {
        await this.#forget({ type: 'mount', id: entry.key, problem }, async () => {
          await cacheMounts.remove(entry.key)
        })
      }
    }
    await this.#files('stat', layout.stat, (path) => isFileDigests(path) || isStatCache(path))
    await this.#files('listing', layout.listings, isListing)
  }

  async #files(type: 'stat' | 'listing', folder: string, isWhole: (path: string) => boolean): Promise<void> {
    for (const name of ifPresent(() => readdirSync(folder)) ?? []) {
      const path = join(folder, name)
      this.#done(type, name)
      if (!isWhole(path) && isThere(path)) await this.#forgetFile({ type, id: name, problem: 'it is torn' }, path)
    }
  }

  #done(type: StoreDamage['type'], id: string): void {
    this.checked[type] += 1
    this.#options.onProgress?.({ type, id })
  }

  async #forgetFile(finding: NewDamage, path: string): Promise<void> {
    await this.#forget(finding, async () => {
      const away = this.#store.temporary()
      // It may be a directory that somebody put there.
      ifPresent(() => renameSync(path, away))
      await removeTree(away)
    })
  }

  async #forget(finding: NewDamage, action: () => Promise<void> | void): Promise<void> {
    if (this.#options.repair) await action()
    this.findings.push({ ...finding, forgotten: this.#options.repair ?? false })
  }
}

function isThere(path: string): boolean {
  return ifPresent(() => lstatSync(path)) !== undefined
}
