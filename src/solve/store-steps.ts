import type { Digest } from '../base/digest.ts'
import type { ContentHasher } from '../ops/content.ts'
import type { DoneStep, FoundStep, KeepingStepCache, WantedStep } from '../ops/step-cache.ts'
import { digestsIn } from '../store/content-listings.ts'
import type { CacheIndex, CacheRecord } from '../store/types.ts'
import { type EarlyCutoffDeps, findEarlyCutoff } from './early-cutoff.ts'
import { isIndependent } from './step.ts'

export interface StoreStepsDeps {
  readonly cache: CacheIndex
  readonly layers: EarlyCutoffDeps['layers']
  readonly content: Pick<ContentHasher, 'keep'>
}

/** The store's records, and with `--no-cache` those alone that this build made: what two platforms or stages have in common runs once. */
export class StoreSteps implements KeepingStepCache {
  readonly #deps: StoreStepsDeps
  readonly #fresh = new Map<Digest, CacheRecord>()

  constructor(deps: StoreStepsDeps) {
    this.#deps = deps
  }

  async lookup({ vertex, key, made }: WantedStep, signal: AbortSignal): Promise<FoundStep | undefined> {
    if (key === undefined) return undefined
    if (vertex.noCache) return this.#fresh.get(key.digest)
    const record = await this.#deps.cache.find(key.digest)
    if (record !== undefined || made === undefined || isIndependent(vertex)) return record
    const root = vertex.root && made(vertex.root)
    const same = await findEarlyCutoff(vertex, key, root?.kind === 'snapshot' ? root.layers : [], { ...this.#deps, signal })
    return same && { ...(await this.keep({ vertex, key, layers: same.layers })), sameFiles: true }
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
