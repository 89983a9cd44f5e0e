import { endingTogether } from '../base/in-parallel.ts'
import { SharedWork } from '../base/shared-work.ts'
import type { Locks } from '../store/locks.ts'
import type { LayerId, Snapshot } from '../store/types.ts'
import type { FetchDeps, Fetches } from './fetches.ts'
import type { Offer, Offers } from './offers.ts'
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
    for (const id of all) {
      if (this.#vouched(id) !== undefined || (await this.#isDirectory(id))) continue
      const offer = await this.#offer(id)
      if (offer !== undefined) rest.push(offer)
    }
    await this.#unpack(rest, signal)
  }

  async #isDirectory(id: LayerId): Promise<boolean> {
    return areDirectories(await this.#deps.layers.claim([id]))
  }

  #vouched(id: LayerId): LayerSource | undefined {
    const source = this.#offers.of(id)?.source
    return source?.trust === 'vouched' ? source : undefined
  }

  /** The snapshot with all that its missing layers were made over, bottom first. */
  async #closure(snapshot: Snapshot): Promise<LayerId[]> {
    const found = new Set<LayerId>()
    const visit = async (id: LayerId) => {
      if (found.has(id)) return
      if (!(await this.#isDirectory(id))) for (const below of (await this.#offer(id))?.layer.parent ?? []) await visit(below)
      found.add(id)
    }
    for (const id of snapshot) await visit(id)
    return [...found]
  }

  async #offer(id: LayerId): Promise<Offer | undefined> {
    return this.#offers.of(id) ?? (await this.#stored(id))
  }

  /** A layer that the store has as a blob. */
  async #stored(id: LayerId): Promise<Offer | undefined> {
    const { layers, blobs } = this.#deps
    const { diffId, blobs: known = [], parent, created } = recordedFacts(id, layers)
    if (diffId === undefined || parent === undefined) return undefined
    for (const descriptor of known) {
      if ((await blobs.stat(descriptor.digest)) === undefined) continue
      return { layer: { id, diffId, descriptor, parent, created }, source: undefined }
    }
    return undefined
  }

  async #pull(source: LayerSource, signal: AbortSignal): Promise<void> {
    const missing: Offer[] = []
    for (const layer of this.#offers.from(source)) if (!(await this.#isDirectory(layer.id))) missing.push({ layer, source })
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

  /** From the bottom, while those above are being fetched. */
  async #unpack(offers: readonly Offer[], signal: AbortSignal): Promise<void> {
    if (offers.length === 0) return
    const jobs = offers.map((offer) => (either: AbortSignal) => this.#fetches.fetch(offer, either))
    await endingTogether(jobs, { limit: PARALLEL_FETCHES, signal }, async (fetches) => {
      const { locks } = this.#deps
      for (const [index, { layer, source }] of offers.entries()) {
        await fetches[index]
        // Of all processes that want the layer one unpacks it.
        const find = async () => (await this.#isDirectory(layer.id)) || undefined
        const unpack = () => locks.singleFlight(`layer-${layer.id}`, find, () => unpackBlob(layer, this.#deps, signal), { signal })
        await this.#fetches.blaming(source, signal, unpack)
      }
    })
  }
}
