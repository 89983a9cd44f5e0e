import { existsSync, readdirSync, renameSync } from 'node:fs'
import { join } from 'node:path'
import { type Digest, isDigest } from '../base/digest.ts'
import { errorCode } from '../base/errors.ts'
import { rawImages } from './image-index.ts'
import { removeTree } from './remove-tree.ts'
import type { Store } from './store.ts'
import { ifPresent } from './store-error.ts'
import type { LayerId, LayerInfo } from './types.ts'

/** Something that was wrong, and was forgotten when `repair` was asked for. */
export interface Finding {
  readonly type: 'blob' | 'layer' | 'record' | 'image' | 'foreign'
  readonly id: string
  readonly problem: string
  readonly forgotten: boolean
}

export interface VerifyOptions {
  readonly repair?: boolean
  /** Compares a layer's tree with what is known of it; says what is wrong. From a higher room, which can read trees. */
  readonly checkLayer?: (id: LayerId, fs: string, info: LayerInfo) => Promise<string | undefined>
  readonly onProgress?: (done: { type: Finding['type']; id: string }) => void
}

/** Reads everything: each blob against its digest, each layer, each record. Repairs by forgetting: what is missing is made or fetched again. */
export async function verifyStore(store: Store, options: VerifyOptions = {}): Promise<Finding[]> {
  const check = new Verification(store, options)
  // In this order: a record is only as good as its layers, an image as its blobs.
  await check.blobs()
  await check.layers()
  await check.records()
  await check.images()
  return check.findings
}

class Verification {
  readonly findings: Finding[] = []
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
        this.#found({ type: 'foreign', id: join(layout.blobs, name), problem: 'is no blob' })
        continue
      }
      const problem = await this.#problemOfBlob(digest)
      if (problem !== undefined) await this.#forget({ type: 'blob', id: digest, problem }, () => blobs.delete(digest))
      this.#options.onProgress?.({ type: 'blob', id: digest })
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
      this.#options.onProgress?.({ type: 'layer', id })
    }
    for (const id of layers.known()) {
      if (layers.info(id) === undefined) {
        await this.#forget({ type: 'layer', id, problem: 'what is known of it is torn' }, () => layers.forget(id))
      }
    }
  }

  async #problemOfLayer(id: LayerId): Promise<string | undefined> {
    const { layers } = this.#store
    if (!layers.isPresent(id)) return 'it was not completely written before the machine went down, or its directory is damaged'
    return await this.#options.checkLayer?.(id, layers.fs(id), layers.info(id) ?? {})
  }

  async #forgetLayer(id: LayerId): Promise<void> {
    const away = this.#store.temporary()
    await this.#store.leases.exclusively(() => this.#store.layers.takeAway(id, away))
    await removeTree(away)
  }

  async records(): Promise<void> {
    const { cache, layers, layout } = this.#store
    const whole = new Set<string>()
    for await (const record of cache.list()) {
      const missing = record.layers.filter((id) => !layers.isUsable(id))
      whole.add(`${record.key.slice('sha256:'.length)}.json`)
      if (missing.length === 0) continue
      await this.#forget({ type: 'record', id: record.key, problem: `it names a layer that is not there: ${missing[0]}` }, () =>
        cache.delete(record.key),
      )
    }
    for (const name of readdirSync(layout.records)) {
      if (whole.has(name)) continue
      await this.#forgetFile({ type: 'record', id: name, problem: 'it is torn' }, join(layout.records, name))
    }
  }

  async images(): Promise<void> {
    const { layers, layout, blobs } = this.#store
    for (const { path, record } of rawImages(layout)) {
      if (record === undefined) {
        await this.#forgetFile({ type: 'image', id: path, problem: 'its record is torn' }, path)
        continue
      }
      const missing = record.layers.find(({ id }) => !layers.isUsable(id))
      const problem = missing
        ? `its layer ${missing.id} is not there`
        : existsSync(blobs.path(record.config))
          ? undefined
          : 'its config is not there'
      if (problem !== undefined) await this.#forgetFile({ type: 'image', id: record.name, problem }, path)
    }
  }

  async #forgetFile(finding: Omit<Finding, 'forgotten'>, path: string): Promise<void> {
    await this.#forget(finding, async () => {
      const away = this.#store.temporary()
      // It may be a directory that somebody put there.
      ifPresent(() => renameSync(path, away))
      await removeTree(away)
    })
  }

  async #forget(finding: Omit<Finding, 'forgotten'>, action: () => Promise<void> | void): Promise<void> {
    if (this.#options.repair) await action()
    this.findings.push({ ...finding, forgotten: this.#options.repair ?? false })
  }

  #found(finding: Omit<Finding, 'forgotten'>): void {
    this.findings.push({ ...finding, forgotten: false })
  }
}
