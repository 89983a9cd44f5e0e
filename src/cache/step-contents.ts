import type { Digest } from '../base/digest.ts'
import { errorCode, isTbuildError } from '../base/errors.ts'
import { SharedWork } from '../base/shared-work.ts'
import type { Vertex } from '../graph/op.ts'
import { viewOf } from '../ops/ref.ts'
import type { Snapshot } from '../store/types.ts'
import { contentDigest } from './buildkit/content-hash.ts'
import type { ContentOf } from './buildkit/record-graph.ts'
import type { CacheSession } from './session.ts'

/** The root file system of a step, when its files may be read for a key. */
export type FilesOf = (vertex: Vertex) => Promise<Snapshot | undefined>

type ContentSession = Pick<CacheSession, 'contexts' | 'layers' | 'fileDigests'>

/** BuildKit's content hashes of what a build's steps read, each computed once. */
export class StepContents {
  readonly #session: ContentSession
  readonly #signal: AbortSignal
  readonly #ofCaller = new SharedWork<string, Digest | undefined>()
  readonly #ofSteps: SharedWork<string, Digest | undefined>

  constructor(session: ContentSession, signal: AbortSignal, ofSteps = new SharedWork<string, Digest | undefined>()) {
    this.#session = session
    this.#signal = signal
    this.#ofSteps = ofSteps
  }

  /** The same without what is known of the caller's files, which may be others now. */
  refreshed(): StepContents {
    return new StepContents(this.#session, this.#signal, this.#ofSteps)
  }

  /** Of the caller's files always, of those of a step when `filesOf` gives them. */
  reader(filesOf: FilesOf): ContentOf {
    return async ({ source, selections }) => {
      const { op } = source
      if (op.kind === 'context') return this.#once(this.#ofCaller, [op.name, selections], () => this.#ofContext(op.name, selections))
      const layers = await filesOf(source)
      return layers && this.#once(this.#ofSteps, [layers, selections], () => this.#ofLayers(layers, selections))
    }
  }

  #once(known: SharedWork<string, Digest | undefined>, key: unknown, hash: () => Promise<Digest | undefined>): Promise<Digest | undefined> {
    return known.of(JSON.stringify(key), hash).catch((error: unknown) => this.#unknown(error))
  }

  async #ofContext(name: string, selections: Parameters<typeof contentDigest>[1]): Promise<Digest | undefined> {
    const { view, resetOwner, identity, mode } = await this.#session.contexts.files(name)
    const files = this.#session.fileDigests(`content of BuildKit ${resetOwner} ${mode !== undefined} ${identity}`)
    return contentDigest(view, selections, { sent: resetOwner, files, signal: this.#signal })
  }

  async #ofLayers(layers: Snapshot, selections: Parameters<typeof contentDigest>[1]): Promise<Digest | undefined> {
    const view = await viewOf({ kind: 'snapshot', layers }, this.#session, this.#signal)
    return contentDigest(view, selections, { sent: false, signal: this.#signal })
  }

  /** What cannot be read has no key here; the step itself will say what is wrong. */
  #unknown(error: unknown): undefined {
    if (this.#signal.aborted || !isTbuildError(error) || errorCode(error) === 'CACHE_LAYER_UNUSABLE') throw error
    return undefined
  }
}
