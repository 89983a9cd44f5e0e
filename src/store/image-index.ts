import { readdirSync, readFileSync, unlinkSync } from 'node:fs'
import { join } from 'node:path'
import { type Digest, hexOf, isDigest, sha256Hex } from '../base/digest.ts'
import { readSealed, sealJson, writeAtomicSync } from './atomic-file.ts'
import { hasBlob } from './blob-store.ts'
import type { UnsyncedFiles } from './durability.ts'
import { type Layers, type LayersDeps, layerName } from './layers.ts'
import type { StoreLayout } from './layout.ts'
import { ifPresent, storeError } from './store-error.ts'
import type { ImageIndex, ImageRecord } from './types.ts'

/** The line under which a blob stands in a lease. */
export const blobName = (digest: Digest): string => `blob:${digest}`

/**
 * Image records as sealed JSON files. A name can be longer than a file name and holds `/` and `:`, so its hash names the file and the record has the name.
 * A record whose config or layers are not there is no image: it is neither returned nor listed.
 */
export function createImageIndex(
  { layout, leases }: Pick<LayersDeps, 'layout' | 'leases'>,
  layers: Pick<Layers, 'neededFile' | 'state'>,
  files: UnsyncedFiles,
): ImageIndex {
  const file = (name: string) => join(layout.images, imageFileName(name))

  function load(path: string): ImageRecord | undefined {
    const record = readSealed(path)
    return isImageRecord(record) && file(record.name) === path ? record : undefined
  }

  const isWhole = (record: ImageRecord) =>
    hasBlob(layout.blobs, record.config) && record.layers.every(({ id }) => layers.state(id) !== 'missing')

  /** What finds its parts after a power cut, also where another build wrote it; directories and blobs were synced by who made them. */
  async function syncParts(record: ImageRecord): Promise<void> {
    files.need(join(layout.blobs, hexOf(record.config)))
    for (const path of record.layers.map(({ id }) => layers.neededFile(id))) if (path !== undefined) files.need(path)
    await files.sync()
  }

  return {
    async get(name) {
      try {
        const record = load(file(name))
        if (record === undefined) return undefined
        const names = [blobName(record.config), ...record.layers.map(({ id }) => layerName(id))]
        return (await leases.use(names, () => isWhole(record))) ? record : undefined
      } catch (error) {
        throw storeError(error, 'read its images')
      }
    },
    async set(record) {
      try {
        const text = sealJson(record as never)
        if (ifPresent(() => readFileSync(file(record.name), 'utf8')) === text) return
        // Durable at once: after a power cut the name is the old image or the new one, and has all of it.
        await syncParts(record)
        writeAtomicSync(leases.temporary(), file(record.name), text, { durable: true })
      } catch (error) {
        throw storeError(error, 'keep an image')
      }
    },
    async list() {
      try {
        const records = readdirSync(layout.images).flatMap((name) => load(join(layout.images, name)) ?? [])
        return records.filter(isWhole).sort((a, b) => (a.name < b.name ? -1 : 1))
      } catch (error) {
        throw storeError(error, 'list its images')
      }
    },
    async delete(name) {
      try {
        ifPresent(() => unlinkSync(file(name)))
      } catch (error) {
        throw storeError(error, 'delete an image')
      }
    },
  }
}

export function imageFileName(name: string): string {
  return `${sha256Hex(name)}.json`
}

/** All records as they lie there, whole or not, for gc and verification; `record` is undefined when the file is torn. */
export function rawImages(layout: StoreLayout): { path: string; record: ImageRecord | undefined }[] {
  return readdirSync(layout.images).map((name) => {
    const record = readSealed(join(layout.images, name))
    const valid = isImageRecord(record) && imageFileName(record.name) === name
    return { path: join(layout.images, name), record: valid ? record : undefined }
  })
}

function isImageRecord(value: unknown): value is ImageRecord {
  const record = value as Partial<ImageRecord> | null | undefined
  return typeof record?.name === 'string' && isDigest(record.config) && Array.isArray(record.layers)
}
