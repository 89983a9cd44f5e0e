import { countBytes } from '../base/count-bytes.ts'
import type { Digest } from '../base/digest.ts'
import { errorCode, TbuildError } from '../base/errors.ts'
import { SharedWork } from '../base/shared-work.ts'
import { GrowingFile } from '../store/growing-file.ts'
import type { Layers } from '../store/layers.ts'
import type { Bytes } from '../store/types.ts'
import { type Offer, offeredFacts, type SourcedOffer } from './offers.ts'
import type { LayerSource } from './types.ts'
import { checkBlob, checkPackedSize, type UnpackDeps } from './unpack-blob.ts'

export interface FetchDeps extends UnpackDeps {
  readonly layers: Pick<Layers, 'claim' | 'recall' | 'remote' | 'update'>
}

/** Brings the blobs of offered layers into the blob store, each once, and knows which sources failed at that. */
export class Fetches {
  readonly failures = new Map<LayerSource, string>()
  readonly #deps: FetchDeps
  readonly #fetched = new SharedWork<Digest, void>()
  readonly #compared = new SharedWork<string, void>()
  /** Those that are being fetched, or that somebody waits for. */
  readonly #growing = new Map<Digest, GrowingFile>()

  constructor(deps: FetchDeps) {
    this.#deps = deps
  }

  /** The blob as its digest says; that of a layer of the store is there. */
  async fetch({ layer, source }: Offer, signal: AbortSignal): Promise<void> {
    if (source === undefined) return
    const { blobs, maxBytes } = this.#deps
    const { descriptor } = layer
    const { digest, size } = descriptor
    const fetch = async () => {
      if ((await blobs.stat(digest)) !== undefined) return
      checkPackedSize(descriptor, maxBytes)
      const progress = (current: number) => source.pull?.progress(descriptor, current, false)
      const bytes = countBytes(await source.blob(descriptor, signal), progress, signal)
      await this.#whileGrowing(digest, (growing) => blobs.put(bytes, { digest, size, growth: growing }))
    }
    await this.#fetched.of(digest, () => this.blaming(source, signal, fetch), signal)
    source.pull?.progress(descriptor, size, true)
  }

  async #whileGrowing(digest: Digest, write: (growing: GrowingFile) => Promise<unknown>): Promise<void> {
    const growing = this.#growingOf(digest)
    try {
      await write(growing)
      growing.end()
    } catch (error) {
      growing.end(error)
      throw error
    } finally {
      this.#growing.delete(digest)
    }
  }

  #growingOf(digest: Digest): GrowingFile {
    const growing = this.#growing.get(digest) ?? new GrowingFile()
    this.#growing.set(digest, growing)
    return growing
  }

  /** The blob as it comes, not verified before `fetched`, its own `fetch`, has resolved. */
  async *follow({ layer }: Offer, fetched: Promise<void>): Bytes {
    const { digest } = layer.descriptor
    const growing = this.#growingOf(digest)
    await Promise.race([growing.begun, fetched])
    const early = growing.read()
    if (early !== undefined) return yield* early
    await fetched
    this.#growing.delete(digest)
    yield* this.#deps.blobs.get(digest)
  }

  /** The blob as good as the layer: one that is only claimed was compared with its diffID, and the store knows it then. */
  async fetchTrusted(offer: SourcedOffer, signal: AbortSignal): Promise<void> {
    const { layer, source } = offer
    if (source.trust === 'vouched') return this.fetch(offer, signal)
    const compare = async () => {
      await this.fetch(offer, signal)
      await this.blaming(source, signal, () => checkBlob(layer, this.#deps))
      await this.#deps.layers.update(layer.id, offeredFacts(layer))
    }
    return this.#compared.of(`${layer.id} ${layer.descriptor.digest}`, compare, signal)
  }

  /** What goes wrong with a layer that is only claimed is its source's fault, unless the store cannot keep it or the work was ended. */
  async blaming<T>(source: LayerSource | undefined, signal: AbortSignal, work: () => Promise<T>): Promise<T> {
    try {
      return await work()
    } catch (error) {
      if (source?.trust !== 'claimed' || signal.aborted || /^(STORE_|CACHE_LAYER_UNUSABLE$)/.test(errorCode(error) ?? '')) throw error
      const problem = (error as Error).message
      if (!this.failures.has(source)) this.failures.set(source, problem)
      throw new TbuildError('CACHE_LAYER_UNUSABLE', `a layer of the cache ${source.name} cannot be used: ${problem}`, {
        hint: 'build without this --cache-from',
        cause: error,
      })
    }
  }
}
