import type { Digest } from '../base/digest.ts'
import type { ContentHasher } from '../ops/content.ts'
import { digestsIn } from '../store/listings.ts'
import type { CacheIndex, CacheRecord } from '../store/types.ts'
import { isIndependent } from './step.ts'
import type { DoneStep, FoundStep, KeyedStep, StepCache } from './step-cache.ts'
import { findTwin, type TwinDeps } from './twin.ts'

export interface StoreStepsDeps {
  readonly cache: CacheIndex
  readonly snapshots: TwinDeps['snapshots']
  readonly content: Pick<ContentHasher, 'keep'>
}

/** The store's records, and with `--no-cache` those alone that this build made: what two platforms or stages have in common runs once. */
export class StoreSteps implements StepCache {
  readonly #deps: StoreStepsDeps
  readonly #fresh = new Map<Digest, CacheRecord>()

  constructor(deps: StoreStepsDeps) {
    this.#deps = deps
  }

  async lookup(step: KeyedStep, signal: AbortSignal): Promise<FoundStep | undefined> {
    const { vertex, key, root } = step
    if (vertex.noCache) return this.#fresh.get(key.digest)
    const record = await this.#deps.cache.find(key.digest)
    if (record !== undefined || root === undefined || isIndependent(vertex)) return record
    const twin = await findTwin(vertex, key, root, { ...this.#deps, signal })
    return twin && { ...(await this.keep({ vertex, key, layers: twin.layers })), sameFiles: true }
  }

  async keep(step: DoneStep): Promise<CacheRecord> {
    const { vertex, key, layers } = step
    const now = new Date().toISOString()
    const record: CacheRecord = {
      version: 1,
      key: key.digest,
      parts: key.parts,
      step: vertex.step,
      name: vertex.name,
      ...(vertex.span === undefined ? {} : { place: `${vertex.span.file.name}:${vertex.span.start.line}` }),
      layers: isIndependent(vertex) ? layers.slice(-1) : layers,
      created: now,
      lastUsed: now,
    }
    await this.#deps.cache.save(record)
    this.#fresh.set(key.digest, record)
    this.#deps.content.keep(digestsIn(key.parts))
    return record
  }
}
