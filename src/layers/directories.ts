import { endingTogether } from '../base/in-parallel.ts'
import { SharedWork } from '../base/shared-work.ts'
import type { Locks } from '../store/locks.ts'
import type { LayerId, Snapshot } from '../store/types.ts'
import type { FetchDeps, Fetches } from './fetches.ts'
import type { Offer, Offers } from './offers.ts'
import { unpackLimitOf } from './packing.ts'
import { recordedFacts } from './recorded.ts'
import { areDirectories } from './states.ts'
import type { LayerSource } from './types.ts'
import { unpackBlob } from './unpack-blob.ts'

/** Layers fetched at once. */
export const PARALLEL_FETCHES = 3

export interface DirectoryDeps extends FetchDeps {
  readonly locks: Pick<Locks, 'singleFlight'>
}

/** Makes the directories of layers that are offered, or in the store as a blob. */
export class Directories {
  readonly #deps: DirectoryDeps
  readonly #offers: Offers
  readonly #fetches: Fetches
  readonly #pulls = new SharedWork<LayerSource, void>()

  constructor(deps: DirectoryDeps, offers: Offers, fetches: Fetches) {
    this.#deps = deps
    this.#offers = offers
    this.#fetches = fetches
  }

  /** Of all layers in the snapshot that can be had: first those of images, whole, then the others with what they were made over. */
  async make(snapshot: Snapshot, signal: AbortSignal): Promise<void> {
    const all = await this.#closure(snapshot)
    const vouched = all.flatMap((id) => this.#vouched(id) ?? [])
    for (const source of new Set(vouched)) await this.#pulls.of(source, () => this.#pull(source, signal), signal)
    const rest: Offer[] = []
    for (const id of await this.#missing(all.filter((each) => this.#vouched(each) === undefined))) {
      const offer = await this.#offer(id)
      if (offer !== undefined) rest.push(offer)
    }
    await this.#unpack(rest, signal)
  }

  /** Those that are no directories. One question for all: an image may have as many layers as it likes. */
  async #missing(ids: readonly LayerId[]): Promise<LayerId[]> {
    const states = await this.#deps.layers.claim(ids)
    return ids.filter((id) => states.get(id) !== 'directory')
  }

  #vouched(id: LayerId): LayerSource | undefined {
    const source = this.#offers.of(id)?.source
    return source?.trust === 'vouched' ? source : undefined
  }

  /** The snapshot with all that its missing layers were made over, bottom first. */
  async #closure(snapshot: Snapshot): Promise<LayerId[]> {
    const found = new Set<LayerId>()
    const visit = async (ids: readonly LayerId[]) => {
      const fresh = ids.filter((id) => !found.has(id))
      const missing = new Set(fresh.length === 0 ? [] : await this.#missing(fresh))
      for (const id of fresh) {
        if (missing.has(id)) await visit((await this.#offer(id))?.layer.parent ?? [])
        found.add(id)
      }
    }
    await visit(snapshot)
    return [...found]
  }

  async #offer(id: LayerId): Promise<Offer | undefined> {
    return this.#offers.of(id) ?? (await this.#stored(id))
  }

  /** A layer that the store has as a blob. */
  async #stored(id: LayerId): Promise<Offer | undefined> {
    const { layers, blobs } = this.#deps
    const { diffId, blobs: known = [], parent, created, times } = recordedFacts(id, layers)
    if (diffId === undefined || parent === undefined) return undefined
    for (const descriptor of known) {
      if ((await blobs.stat(descriptor.digest)) === undefined) continue
      return { layer: { id, diffId, descriptor, parent, created, times }, source: undefined }
    }
    return undefined
  }

  async #pull(source: LayerSource, signal: AbortSignal): Promise<void> {
    const layers = this.#offers.from(source)
    const ids = new Set(await this.#missing(layers.map(({ id }) => id)))
    const missing = layers.filter(({ id }) => ids.has(id)).map((layer): Offer => ({ layer, source }))
    if (missing.length === 0) {
      source.pull?.present()
      return
    }
    source.pull?.started()
    try {
      await this.#unpack(missing, signal)
    } catch (error) {
      source.pull?.failed(error)
      throw error
    }
    source.pull?.done()
  }

  /** From the bottom, each while it and those above are being fetched. */
  async #unpack(offers: readonly Offer[], signal: AbortSignal): Promise<void> {
    if (offers.length === 0) return
    const jobs = offers.map((offer) => (either: AbortSignal) => this.#fetches.fetch(offer, either))
    await endingTogether(jobs, { limit: PARALLEL_FETCHES, signal }, async (fetches) => {
      for (const [index, offer] of offers.entries()) {
        const fetched = fetches[index] as Promise<void>
        await this.#fetches.blaming(offer.source, signal, () => this.#unpackOne(offer, fetched, signal))
        await fetched
      }
    })
  }

  /** Of all processes that want the layer one unpacks it. */
  #unpackOne(offer: Offer, fetched: Promise<void>, signal: AbortSignal): Promise<true> {
    const { id, descriptor } = offer.layer
    const maxBytes = unpackLimitOf(descriptor, recordedFacts(id, this.#deps.layers), this.#deps.maxBytes)
    const find = async () => areDirectories(await this.#deps.layers.claim([id])) || undefined
    const blob = () => ({ bytes: this.#fetches.follow(offer, fetched), fetched })
    const unpack = () => unpackBlob(offer.layer, blob(), { ...this.#deps, maxBytes }, signal)
    return this.#deps.locks.singleFlight(`layer-${id}`, find, unpack, { signal })
  }
}
