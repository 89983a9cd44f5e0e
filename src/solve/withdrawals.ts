import { errorCode } from '../base/errors.ts'
import type { LayerCatalog } from '../layers/types.ts'
import type { ImportedSteps } from '../ops/step-cache.ts'
import type { Snapshot } from '../store/types.ts'
import { reopen, type Step } from './step.ts'

interface WithdrawalDeps {
  readonly layers: Pick<LayerCatalog, 'where' | 'failures'>
  readonly imported: ImportedSteps | undefined
  readonly signal: AbortSignal
}

/** What fails where a layer is gone that was offered before. */
const GONE: ReadonlySet<string | undefined> = new Set(['CACHE_LAYER_UNUSABLE', 'LAYER_MISSING', 'SNAPSHOT_MISSING'])

/**
 * Sources of layers that turn out wrong during a walk. Each is withdrawn here; what was found or made of layers that nobody has any more is open again, and all
 * else stays as it is: what runs goes on.
 */
export class Withdrawals {
  readonly #steps: ReadonlyMap<unknown, Step>
  readonly #deps: WithdrawalDeps
  #count = 0
  /** Until all is open again that stood on what was withdrawn. */
  #reopening: Promise<void> | undefined

  constructor(steps: ReadonlyMap<unknown, Step>, deps: WithdrawalDeps) {
    this.#steps = steps
    this.#deps = deps
  }

  /** So many there were: what was begun at another count may stand on what is gone. */
  get count(): number {
    return this.#count
  }

  /** That number, when nothing is found any more that stands on what is gone: the time to begin something. */
  async settled(): Promise<number> {
    while (this.#reopening !== undefined) await this.#reopening
    return this.#count
  }

  /** Does the work, and once more when a source was withdrawn because of it, or meanwhile. `again`: before that. */
  async retry<T>(work: () => Promise<T>, again: () => void = () => {}): Promise<T> {
    for (;;) {
      const since = await this.settled()
      try {
        return await work()
      } catch (error) {
        if (this.#deps.signal.aborted || !this.isEcho(error, since)) throw error
        await this.#withdraw()
        again()
      }
    }
  }

  /** No failure of what failed, which was begun at that count, but of a source. */
  isEcho(error: unknown, since: number): boolean {
    const code = errorCode(error)
    const { imported, layers } = this.#deps
    const isFirst = code === 'CACHE_LAYER_UNUSABLE' && imported !== undefined && layers.failures.size > 0
    return isFirst || (GONE.has(code) && since !== this.#count)
  }

  async areGone(layers: Snapshot): Promise<boolean> {
    return [...(await this.#deps.layers.where(layers)).values()].includes('missing')
  }

  async #withdraw(): Promise<void> {
    const { imported, layers } = this.#deps
    for (const [source, problem] of [...layers.failures]) {
      imported?.withdraw(source, problem)
      this.#count += 1
      // What it said of steps is not kept either.
      for (const step of this.#steps.values()) if (step.imported?.source === source) step.imported = undefined
    }
    const reopening = this.#reopen()
    // Who fails meanwhile opens again what has been made since.
    const waited = Promise.allSettled([this.#reopening, reopening]).then(() => {
      if (this.#reopening === waited) this.#reopening = undefined
    })
    this.#reopening = waited
    await reopening
  }

  async #reopen(): Promise<void> {
    const { layers } = this.#deps
    const held = [...this.#steps.values()].flatMap((step) => {
      const own = layersOf(step)
      return own === undefined ? [] : [{ step, own }]
    })
    const states = await layers.where([...new Set(held.flatMap(({ own }) => own))])
    for (const { step, own } of held) {
      // Unless it has others by now.
      if (layersOf(step) === own && own.some((id) => states.get(id) === 'missing')) reopen(step)
    }
  }
}

/** What was made of a step, or found. */
function layersOf({ ref, found }: Step): Snapshot | undefined {
  return ref?.kind === 'snapshot' ? ref.layers : found?.layers
}
