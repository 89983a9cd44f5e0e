import type { Digest } from '../base/digest.ts'
import { errorCode, TbuildError } from '../base/errors.ts'
import { endingTogether } from '../base/in-parallel.ts'
import { SharedWork } from '../base/shared-work.ts'
import { randomLayerId } from '../store/layers.ts'
import type { Bytes, LayerId, LayerInfo, LayerState, Snapshot, TakeFile } from '../store/types.ts'
import { decompressLayer, layerCompression } from '../tar/layer-bytes.ts'
import { NeedsDirectory } from '../tree/deferred-files.ts'
import { layerChanges } from '../tree/diff.ts'
import { layeredView } from '../tree/view.ts'
import type { Descriptor } from '../values/oci.ts'
import { Directories, type DirectoryDeps, PARALLEL_FETCHES } from './directories.ts'
import { ExactTimes } from './exact-times.ts'
import { Fetches } from './fetches.ts'
import { layerTar } from './layer-tar.ts'
import { Meter, type TarFacts } from './meter.ts'
import { Offers, offeredFacts } from './offers.ts'
import {
  isOutdated,
  isOwnBlob,
  isPackedBy,
  ofEach,
  type Packing,
  pack,
  packingOf,
  storedBlob,
  tarBlob,
  unpackLimitOf,
  verified,
} from './packing.ts'
import { recordedFacts } from './recorded.ts'
import type { BlobForm, Layer, LayerBlob, LayerCatalog, LayerSource, PackedLayer, UnpackedLayer } from './types.ts'

interface CatalogDeps extends DirectoryDeps {
  /** Ends the operation: layers are had only when somebody reads them, long after the steps. */
  readonly signal: AbortSignal
}

export function openCatalog(deps: CatalogDeps): LayerCatalog {
  return new Catalog(deps)
}

class Catalog implements LayerCatalog {
  readonly #deps: CatalogDeps
  readonly #offers: Offers
  readonly #fetches: Fetches
  readonly #directories: Directories
  readonly #tarFacts = new SharedWork<LayerId, TarFacts>()
  readonly #packed = new SharedWork<string, Descriptor>()

  constructor(deps: CatalogDeps) {
    this.#deps = deps
    this.#offers = new Offers(deps.layers.remote)
    this.#fetches = new Fetches(deps)
    this.#directories = new Directories(deps, this.#offers, this.#fetches)
  }

  get failures(): ReadonlyMap<LayerSource, string> {
    return this.#fetches.failures
  }

  offer(layers: readonly PackedLayer[], source: LayerSource): void {
    this.#offers.add(layers, source)
  }

  source(id: LayerId): LayerSource | undefined {
    return this.#offers.of(id)?.source
  }

  withdraw(source: LayerSource): void {
    this.#offers.withdraw(source)
    this.#fetches.failures.delete(source)
  }

  async facts(id: LayerId): Promise<LayerInfo> {
    return this.#completed(id, recordedFacts(id, this.#deps.layers))
  }

  where(ids: readonly LayerId[]): Promise<ReadonlyMap<LayerId, LayerState>> {
    return this.#deps.layers.claim(ids)
  }

  async directories(snapshot: Snapshot, signal: AbortSignal): Promise<string[]> {
    await this.#directories.make(snapshot, signal)
    return this.#deps.snapshots.directories(snapshot)
  }

  open(ids: readonly LayerId[], form?: BlobForm): Promise<Layer[]> {
    return ofEach(ids, (id) => this.#open(id, form))
  }

  async add({ upper, lower, deferred, parent, created }: UnpackedLayer, form: BlobForm, signal: AbortSignal): Promise<LayerId | undefined> {
    const packing = packingOf(form)
    if (packing === undefined) return undefined
    const { blobs, layers } = this.#deps
    const [meter, times] = [new Meter(), new ExactTimes()]
    const changes = layerChanges(upper, layeredView(lower), { plain: true, partial: { deferred, onTime: times.add } })
    try {
      const { facts, blob } = await pack(meter.pass(fromSources(layerTar(times.pass(changes))), signal), meter, packing, blobs)
      const { digest } = await blobs.put(times.bytes())
      const id = randomLayerId()
      await layers.update(id, { ...facts, parent, created, blobs: [blob], times: digest })
      return id
    } catch (error) {
      if (error instanceof NeedsDirectory) return undefined
      throw error
    }
  }

  async keep(ids: readonly LayerId[], signal: AbortSignal): Promise<void> {
    const jobs = ids.map((id) => (either: AbortSignal) => this.#keep(id, either))
    await endingTogether(jobs, { limit: PARALLEL_FETCHES, signal }, (kept) => Promise.all(kept))
  }

  async #keep(id: LayerId, signal: AbortSignal): Promise<void> {
    const offer = this.#offers.of(id)
    if (offer === undefined) return
    await this.#fetches.fetchTrusted(offer, signal)
    if (offer.source.trust === 'vouched') await this.#deps.layers.update(id, offeredFacts(offer.layer))
  }

  /** An image completes what the store knows. What it, or a cache, says of blobs counts for this operation, where the store has none of the layer. */
  async #completed(id: LayerId, recorded: LayerInfo): Promise<LayerInfo> {
    const offer = this.#offers.of(id)
    if (offer === undefined) return recorded
    const completed = { ...recorded, ...offeredFacts(offer.layer) }
    const { source, layer } = offer
    const isKnown = recorded.diffId !== undefined && recorded.parent !== undefined
    if (source.trust === 'vouched' && !isKnown) return completed
    if (source.trust === 'vouched' && recorded.blobs?.some(({ digest }) => digest === layer.descriptor.digest)) return recorded
    for (const { digest } of recorded.blobs ?? []) if ((await this.#deps.blobs.stat(digest)) !== undefined) return recorded
    return completed
  }

  async #open(id: LayerId, form: BlobForm | undefined): Promise<Layer> {
    const recorded = recordedFacts(id, this.#deps.layers)
    const facts = await this.#completed(id, recorded)
    const offer = this.#offers.of(id)
    // A layer of a base that was never unpacked: later builds know it then, too.
    if (facts !== recorded && offer?.source.trust === 'vouched') await this.#deps.layers.update(id, offeredFacts(offer.layer))
    const packing = form && packingOf(form)
    if (facts.diffId === undefined && packing !== undefined) await this.#pack(id, packing)
    const diffId = facts.diffId ?? (await this.#measure(id)).diffId
    const { created } = facts
    return { id, diffId, created, tar: () => this.#tar(id, diffId), blob: (wanted = {}) => this.#blob(id, diffId, wanted) }
  }

  async *#tar(id: LayerId, diffId: Digest, meter?: Meter): Bytes {
    const facts = await this.facts(id)
    const blob = facts.blobs?.[0]
    const isHad = blob !== undefined && (await this.#fetch(id, blob))
    yield* verified(id, isHad ? this.#unpacked(blob, facts) : this.#written(id), diffId, meter, this.#deps.signal)
  }

  #unpacked(blob: Descriptor, facts: LayerInfo): Bytes {
    const { blobs, maxBytes } = this.#deps
    return decompressLayer(blobs.get(blob.digest), blob.mediaType, { maxBytes: unpackLimitOf(blob, facts, maxBytes) })
  }

  /** The tar of a layer whose diffID may not be known yet; `meter` knows it in the end. */
  #measured(id: LayerId, diffId: Digest | undefined, meter: Meter): Bytes {
    return diffId === undefined ? meter.pass(this.#written(id), this.#deps.signal) : this.#tar(id, diffId, meter)
  }

  /** The tar of a layer's directory: the difference to what it was made over, which is not always what it stands on now (--link). */
  async *#written(id: LayerId): Bytes {
    const { parent = [] } = recordedFacts(id, this.#deps.layers)
    const lower = await this.directories(parent, this.#deps.signal)
    const [upper = ''] = await this.#deps.snapshots.directories([id])
    yield* layerTar(layerChanges(upper, layeredView(lower), { plain: true }))
  }

  async #blob(id: LayerId, diffId: Digest, form: BlobForm): Promise<LayerBlob> {
    const original = (await this.facts(id)).blobs?.find((blob) => !isOwnBlob(blob))
    if (original !== undefined && suits(original, form)) {
      if (form.lazy === true || (await this.#fetch(id, original))) return this.#original(id, original)
    }
    const packing = packingOf(form)
    if (packing !== undefined) return storedBlob(await this.#pack(id, packing), this.#deps.blobs)
    return tarBlob(await this.#measure(id), () => this.#tar(id, diffId))
  }

  #original(id: LayerId, blob: Descriptor): LayerBlob {
    const origin = this.source(id)?.origin
    const lend = async (take: TakeFile) => {
      await this.#fetch(id, blob)
      await this.#deps.blobs.lend(blob.digest, take)
    }
    return { ...storedBlob(blob, this.#deps.blobs), open: () => this.#opened(id, blob), lend, ...(origin === undefined ? {} : { origin }) }
  }

  async *#opened(id: LayerId, blob: Descriptor): Bytes {
    await this.#fetch(id, blob)
    yield* this.#deps.blobs.get(blob.digest)
  }

  /** True when the blob is in the store, if need be after fetching it; one that is only claimed was compared then. */
  async #fetch(id: LayerId, blob: Descriptor): Promise<boolean> {
    const offer = isOwnBlob(blob) ? undefined : this.#offers.of(id)
    const isOffered = offer?.layer.descriptor.digest === blob.digest
    if (offer?.source.trust === 'claimed' && isOffered) {
      await this.#fetches.fetchTrusted(offer, this.#deps.signal)
      return true
    }
    if ((await this.#deps.blobs.stat(blob.digest)) !== undefined) return true
    if (offer !== undefined && isOffered) await this.#fetches.fetchTrusted(offer, this.#deps.signal)
    else if (offer === undefined && !isOwnBlob(blob)) throw missing(id)
    return isOffered
  }

  #measure(id: LayerId): Promise<TarFacts> {
    return this.#tarFacts.of(id, async () => {
      const { diffId, tarSize } = await this.facts(id)
      if (diffId !== undefined && tarSize !== undefined) return { diffId, tarSize }
      const meter = new Meter()
      for await (const _chunk of this.#measured(id, diffId, meter));
      const facts = await meter.finish()
      await this.#deps.layers.update(id, { ...facts })
      return facts
    })
  }

  #pack(id: LayerId, packing: Packing): Promise<Descriptor> {
    return this.#packed.of(`${id} ${packing.name}`, async () => {
      const { diffId, blobs = [] } = await this.facts(id)
      const known = blobs.find((blob) => isPackedBy(blob, packing))
      if (known !== undefined && (await this.#fetch(id, known))) return known
      const meter = new Meter()
      const { facts, blob } = await pack(this.#measured(id, diffId, meter), meter, packing, this.#deps.blobs)
      const others = blobs.filter((other) => other.digest !== blob.digest && !isOutdated(other))
      await this.#deps.layers.update(id, { ...facts, blobs: [...others, blob] })
      await this.#tarFacts.of(id, async () => facts)
      return blob
    })
  }
}

/** What is wrong with a source is told when it is copied into a directory. */
async function* fromSources(tar: Bytes): Bytes {
  try {
    yield* tar
  } catch (cause) {
    if (errorCode(cause) === undefined) throw cause
    throw new NeedsDirectory('a source cannot be read', { cause })
  }
}

/** Whether the original blob of a base layer may leave as it is. */
function suits(original: Descriptor, form: BlobForm): boolean {
  if (form.force !== true) return true
  const wanted = form.compression === 'uncompressed' ? 'none' : (form.compression ?? 'gzip')
  return layerCompression(original.mediaType) === wanted
}

function missing(id: LayerId): TbuildError {
  return new TbuildError('LAYER_MISSING', `layer ${id} is neither in the store nor part of an image of this build`, {
    hint: 'build again with --no-cache',
  })
}
