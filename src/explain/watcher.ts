import type { Digest } from '../base/digest.ts'
import type { OnEvent } from '../base/events.ts'
import type { Change, MissCause, Verdict } from '../base/explanation.ts'
import type { Vertex } from '../graph/op.ts'
import type { CacheIndex, CacheRecord, KeyPart } from '../store/types.ts'
import type { HashedFile } from '../tree/hash.ts'
import { changedParts, explainParts } from './compare.ts'

/** Earlier records of a step that are looked at. */
const RECORDS = 16

export interface ExplainSources {
  readonly cache: Pick<CacheIndex, 'nearest'>
  readonly files: (digest: Digest) => readonly HashedFile[] | undefined
  readonly onEvent: OnEvent
}

/** Tells by `explain` events why a walk takes a step from the cache, or does not. It is told of a step after those below it. */
export class ExplainingWatcher {
  readonly #sources: ExplainSources
  readonly #verdicts = new Map<Vertex, Verdict>()
  /** Of a step and what it is put on: where a change below it began, none where nothing says so. */
  readonly #begun = new Map<Vertex, Vertex | undefined>()

  constructor(sources: ExplainSources) {
    this.#sources = sources
  }

  hit(vertex: Vertex, sameFiles: boolean): void {
    this.#report(vertex, { state: 'hit', sameFiles })
  }

  async miss(vertex: Vertex, key: { readonly digest: Digest; readonly parts: readonly KeyPart[] }): Promise<void> {
    this.#report(vertex, { state: 'miss', cause: await this.#cause(vertex, key) })
  }

  unknown(vertex: Vertex, waitsFor: readonly Vertex[]): void {
    this.#report(vertex, { state: 'unknown', waitsFor: [...new Set(waitsFor.map(({ id }) => id))] })
  }

  #report(vertex: Vertex, verdict: Verdict): void {
    // Told of once more, after a source of layers was withdrawn.
    if (this.#verdicts.has(vertex)) this.#begun.clear()
    this.#verdicts.set(vertex, verdict)
    this.#sources.onEvent({ type: 'explain', id: vertex.id, verdict })
  }

  async #cause(vertex: Vertex, key: { readonly digest: Digest; readonly parts: readonly KeyPart[] }): Promise<MissCause> {
    if (vertex.noCache) return { reason: 'no-cache' }
    const records = await this.#sources.cache.nearest(vertex.step, RECORDS)
    if (records.some((record) => record.key === key.digest)) return { reason: 'lost' }
    const comparing = { files: this.#sources.files, origin: (root: Vertex) => this.#origin(root) }
    const [nearest] = nearestOf(records, key.parts)
      .map(({ record, parts }) => ({ since: record.created, changes: explainParts(vertex, parts, comparing) }))
      .sort((a, b) => fileCount(a.changes) - fileCount(b.changes))
    if (nearest === undefined) return { reason: 'first' }
    return { reason: 'changed', since: nearest.since, changes: this.#worthShowing(vertex, nearest.changes) }
  }

  /** The step's own changes first. That a step below was another one once is no reason when it is a hit and something else changed. */
  #worthShowing(vertex: Vertex, changes: readonly Change[]): readonly Change[] {
    const own = changes.filter(({ type }) => type !== 'step')
    const rootIsHit = vertex.root !== undefined && this.#verdicts.get(vertex.root)?.state === 'hit'
    return own.length > 0 && rootIsHit ? own : [...own, ...changes.filter(({ type }) => type === 'step')]
  }

  /** Down from a step that changed to the one that changed by itself. */
  #origin(root: Vertex): Vertex {
    const followed: Vertex[] = []
    let at: Vertex | undefined = root
    for (; at !== undefined && !this.#begun.has(at) && this.#follows(at); at = at.root) followed.push(at)
    const begun = at === undefined ? undefined : this.#begun.has(at) ? this.#begun.get(at) : this.#verdicts.has(at) ? at : undefined
    for (const vertex of followed) this.#begun.set(vertex, begun)
    return begun ?? root
  }

  /** It says nothing by itself of why a step on it runs: a --link layer is found whatever it stands on. */
  #follows(vertex: Vertex): boolean {
    const verdict = this.#verdicts.get(vertex)
    return verdict?.state === 'hit' || (verdict?.state === 'miss' && isFollowing(verdict.cause))
  }
}

function isFollowing(cause: MissCause): boolean {
  return cause.reason === 'changed' && cause.changes.every(({ type }) => type === 'step')
}

/** The records with the fewest differences, newest first. */
function nearestOf(records: readonly CacheRecord[], now: readonly KeyPart[]) {
  const compared = records.map((record) => ({ record, parts: changedParts(record.parts, now) }))
  const fewest = Math.min(...compared.map(({ parts }) => parts.length))
  return compared.filter(({ parts }) => parts.length === fewest)
}

/** Of records that differ in as many parts, the one with the fewest changed files tells most. */
function fileCount(changes: readonly Change[]): number {
  return changes.reduce((sum, change) => sum + (change.type === 'files' ? (change.files?.length ?? 0) + change.more : 0), 0)
}
