import { sha256 } from '../base/digest.ts'
import { TbuildError } from '../base/errors.ts'
import { MediaType } from '../base/oci.ts'
import type { BuildOptions, CacheExportSpec } from '../build-options.ts'
import { INLINE_CACHE, toImage } from '../image/assemble.ts'
import type { LayerSources } from '../image/target.ts'
import type { Image, LayerBlob } from '../image/types.ts'
import type { ContentHasher } from '../ops/content.ts'
import type { CacheIndex } from '../store/types.ts'
import { type BuildRecords, type Collected, collectCache, layerDescriptors } from './collect.ts'
import { carriedContents } from './contents.ts'
import { CACHE_MEDIA_TYPE, DOCUMENT_LIMIT } from './document.ts'
import { Imports, type ImportTools } from './imports.ts'
import { type CacheManifest, localPlace, type Place, registryPlace } from './places.ts'

export interface BuildCacheTools extends ImportTools {
  readonly sources: LayerSources
  readonly content: ContentHasher
}

type Destination = Exclude<CacheExportSpec, { readonly type: 'inline' }>

/** The caches that one build takes from elsewhere and leaves elsewhere: what stands between its solver and the store. */
export class BuildCache {
  /** The store's records, then those of imported caches. */
  readonly index: CacheIndex
  readonly content: ReturnType<typeof carriedContents>
  readonly #options: BuildOptions
  readonly #tools: BuildCacheTools
  readonly #imports: Imports
  readonly #places: readonly Place[]

  private constructor(options: BuildOptions, tools: BuildCacheTools, imports: Imports, places: readonly Place[]) {
    this.#options = options
    this.#tools = tools
    this.#imports = imports
    this.#places = places
    const { cache } = tools.store
    this.index = { ...cache, find: async (key) => (await cache.find(key)) ?? imports.find(key) }
    this.content = carriedContents(tools.content, (key) => imports.content(key))
  }

  static async open(options: BuildOptions, tools: BuildCacheTools): Promise<BuildCache> {
    const environment = options.environment ?? process.env
    const places = (options.cacheFrom ?? []).map((spec) =>
      spec.type === 'local' ? localPlace(spec.src) : registryPlace(spec.ref, environment),
    )
    return new BuildCache(options, tools, await Imports.load(places, tools), places)
  }

  /** True when the build is to be tried again: a layer of a cache could not be had, and that cache is not asked any more. */
  recover(error: unknown): boolean {
    return !this.#tools.signal.aborted && this.#imports.recover(error)
  }

  /** The image with the cache of its own steps in its config, when that was asked for. */
  async inline(image: Image, records: () => Promise<BuildRecords>): Promise<Image> {
    if (this.#options.cacheTo?.some(({ type }) => type === 'inline') !== true) return image
    const { document } = await collectCache(await records(), this.content.asked(), { files: 'none', parts: false }, this.#tools.sources)
    return toImage({ ...image.configFile, [INLINE_CACHE]: document }, image.platform, image.layers)
  }

  /** After the build: writes every cache of `--cache-to` but an inline one, and keeps what the build took from others. */
  async finish(records: () => Promise<BuildRecords>): Promise<void> {
    const destinations = (this.#options.cacheTo ?? []).filter((spec): spec is Destination => spec.type !== 'inline')
    for (const [index, destination] of destinations.entries()) await this.#write(destination, `cache-export-${index + 1}`, records)
    await this.#imports.keep()
  }

  async close(): Promise<void> {
    for (const place of this.#places) await place.close()
  }

  async #write(destination: Destination, id: string, records: () => Promise<BuildRecords>): Promise<void> {
    const { onEvent, signal, sources } = this.#tools
    const place =
      destination.type === 'local' ? localPlace(destination.dest) : registryPlace(destination.ref, this.#options.environment ?? process.env)
    onEvent({ type: 'vertex', id, name: `exporting cache to ${destination.type === 'local' ? 'client directory' : 'registry'}` })
    onEvent({ type: 'started', id, time: Date.now() })
    try {
      const collected = await collectCache(
        await records(),
        this.content.asked(),
        { files: destination.mode ?? 'min', parts: true },
        sources,
      )
      const blobs = [...collected.blobs].map(fetched)
      await place.put(manifestOf(collected), blobs, { signal, anew: this.#imports.damaged.has(place.name) })
      onEvent({ type: 'done', id, time: Date.now(), cached: false })
    } catch (error) {
      const { message } = error as Error
      onEvent({ type: 'failed', id, time: Date.now(), canceled: signal.aborted, message })
      if (signal.aborted || destination.ignoreError !== true) throw error
      onEvent({ type: 'warning', rule: 'CacheExport', message: `the cache was not exported to ${place.name}: ${message}` })
    } finally {
      await place.close()
    }
  }
}

/** Without what belongs to an image: a layer is pushed by its blob alone. */
function fetched({ descriptor, open }: LayerBlob): LayerBlob {
  return { descriptor, open }
}

function manifestOf({ document, blobs }: Collected): CacheManifest {
  const config = Buffer.from(JSON.stringify(document))
  if (config.length > DOCUMENT_LIMIT) {
    throw new TbuildError('CACHE_TOO_LARGE', `the cache has ${config.length} bytes of records, and ${DOCUMENT_LIMIT} can be read again`)
  }
  const configDescriptor = { mediaType: CACHE_MEDIA_TYPE, digest: sha256(config), size: config.length }
  const manifest = { schemaVersion: 2, mediaType: MediaType.ociManifest, artifactType: CACHE_MEDIA_TYPE, config: configDescriptor }
  const bytes = Buffer.from(JSON.stringify({ ...manifest, layers: layerDescriptors(blobs) }))
  return {
    descriptor: { mediaType: MediaType.ociManifest, digest: sha256(bytes), size: bytes.length },
    bytes,
    config: { descriptor: configDescriptor, bytes: config },
  }
}
