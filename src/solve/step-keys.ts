import { randomUUID } from 'node:crypto'
import { isTbuildError } from '../base/errors.ts'
import type { Vertex } from '../graph/op.ts'
import type { ContentHasher } from '../ops/content.ts'
import { withoutLogins } from '../ops/hidden.ts'
import type { Ref } from '../ops/ref.ts'
import { handlerOf } from '../ops/table.ts'
import type { KeyDeps, RootPart, StepIo } from '../ops/types.ts'
import type { KeyPart } from '../store/types.ts'
import { actionOf, chainOf, type StepKey, stepKey } from './key.ts'
import { remember } from './remember.ts'
import { belowOf, contextsOf, isIndependent, isRemote, isSource } from './vertex-kinds.ts'

export interface KeySources {
  readonly ref: (vertex: Vertex) => Promise<Ref>
  readonly deps: KeyDeps & { readonly content: ContentHasher }
  readonly io: (vertex: Vertex) => StepIo
  /** Around the reading of what a key is made of. */
  readonly around: (vertex: Vertex, read: () => Promise<readonly KeyPart[]>) => Promise<readonly KeyPart[]>
}

/** The keys of one build's vertices, each made once, until it is found that the caller's files have changed. */
export class StepKeys {
  readonly #sources: KeySources
  readonly #keys = new Map<Vertex, Promise<StepKey>>()
  /** All but the root. */
  readonly #parts = new Map<Vertex, Promise<readonly KeyPart[]>>()
  readonly #fixed = new Set<Vertex>()
  readonly #read = new Map<Vertex, Promise<void>>()
  readonly #asRead = new Map<Vertex, Promise<boolean>>()
  /** Whose files of the caller are others than those that a cache was asked with, or cannot be told from them. */
  readonly #others = new Set<Vertex>()

  constructor(sources: KeySources) {
    this.#sources = sources
  }

  of(vertex: Vertex): Promise<StepKey> {
    return remember(this.#keys, vertex, async () => {
      const root = vertex.root === undefined || isIndependent(vertex) ? null : await this.#rootPart(vertex.root)
      const parts = await this.#partsOf(vertex)
      // Found without a key, and what the key is made of has changed since: nobody may find it by that.
      const isOther = this.#fixed.has(vertex) && this.#isOther(vertex)
      return stepKey(vertex.op.kind, root, isOther ? [...parts, unique('files that changed after it was found')] : parts)
    })
  }

  /** Something was found for the step: its key stays, whatever becomes of the caller's files. */
  fix(vertex: Vertex, key?: StepKey): void {
    this.#fixed.add(vertex)
    if (key !== undefined) this.#keys.set(vertex, Promise.resolve(key))
  }

  /** Reads what of a step, and of all below it, is the caller's files, before they are read in another way to find it. */
  readContexts(vertex: Vertex): Promise<void> {
    return remember(this.#read, vertex, async () => {
      if (contextsOf(vertex).length > 0) {
        if (vertex.inputs.every((input) => isSource(input) || isRemote(input))) await this.#tryParts(vertex)
        if (!this.#parts.has(vertex)) this.#others.add(vertex)
      }
      for (const below of belowOf(vertex)) await this.readContexts(below)
    })
  }

  /** True when the files of the caller of a step, and of all below it, are after that what they were before it. */
  async areContextsAsRead(vertex: Vertex): Promise<boolean> {
    if (this.#isOther(vertex)) return false
    return remember(this.#asRead, vertex, async () => {
      if (this.#parts.has(vertex) && (await this.#isChanged(vertex))) return false
      for (const below of belowOf(vertex)) if (!(await this.areContextsAsRead(below))) return false
      return true
    })
  }

  /** True when the caller's files are others now than those of the key: then the step, and what stands on it, gets another. */
  async renew(vertex: Vertex): Promise<boolean> {
    const parts = await this.#changedParts(vertex)
    if (parts !== undefined) this.#replace(vertex, parts)
    return parts !== undefined
  }

  /** Gives the step, and what stands on it, a key that no other build finds. */
  makeUnique(vertex: Vertex): void {
    this.#replace(vertex, [unique('files that changed while they were copied')])
  }

  #replace(vertex: Vertex, parts: readonly KeyPart[]): void {
    this.#others.add(vertex)
    this.#parts.set(vertex, Promise.resolve(parts))
    const known = new Map([...this.#fixed].map((fixed) => [fixed, false])).set(vertex, true)
    for (const above of this.#keys.keys()) if (standsOn(above, known)) this.#keys.delete(above)
  }

  #isOther(vertex: Vertex): boolean {
    return this.#others.size > 0 && standsOn(vertex, new Map([...this.#others].map((other) => [other, true])))
  }

  /** Names of the contexts whose files are others now than what was made, or found, of them, or cannot be read any more. */
  async changedContexts(): Promise<ReadonlySet<string>> {
    const changed = new Set<string>()
    for (const vertex of new Set([...this.#parts.keys(), ...this.#others])) {
      if (this.#isBelowFound(vertex) || (await this.#isChanged(vertex))) for (const name of contextsOf(vertex)) changed.add(name)
    }
    return changed
  }

  /** Of such a step the files are others than those of a step on it, which was found before. */
  #isBelowFound(vertex: Vertex): boolean {
    const known = new Map([[vertex, true]])
    return this.#others.has(vertex) && [...this.#fixed].some((found) => standsOn(found, known))
  }

  async #isChanged(vertex: Vertex): Promise<boolean> {
    try {
      return (await this.#changedParts(vertex)) !== undefined
    } catch (error) {
      if (isTbuildError(error)) return true
      throw error
    }
  }

  async #changedParts(vertex: Vertex): Promise<readonly KeyPart[] | undefined> {
    if (contextsOf(vertex).length === 0) return undefined
    const { deps } = this.#sources
    const parts = await this.#readParts(vertex, { ...deps, content: deps.content.anew() })
    return actionOf(parts) === actionOf(await this.#partsOf(vertex)) ? undefined : parts
  }

  /** What cannot be read is wrong only when the step has to run. */
  async #tryParts(vertex: Vertex): Promise<void> {
    if (this.#parts.has(vertex)) return
    try {
      const parts = Promise.resolve(await this.#readParts(vertex, this.#sources.deps))
      await remember(this.#parts, vertex, () => parts)
    } catch (error) {
      if (!isTbuildError(error)) throw error
    }
  }

  #partsOf(vertex: Vertex): Promise<readonly KeyPart[]> {
    return remember(this.#parts, vertex, async () => {
      // Of them others tell when they fail.
      await this.#inputsOf(vertex)
      return this.#sources.around(vertex, () => this.#readParts(vertex, this.#sources.deps))
    })
  }

  async #readParts(vertex: Vertex, deps: KeyDeps): Promise<readonly KeyPart[]> {
    const parts = (await handlerOf(vertex.op).key?.(vertex.op, await this.#inputsOf(vertex), deps, this.#sources.io(vertex))) ?? []
    return parts.map(withoutLogins)
  }

  #inputsOf({ inputs }: Vertex): Promise<Ref[]> {
    return Promise.all(inputs.map((input) => this.#sources.ref(input)))
  }

  /** What a step above depends on: the whole chain, also below a layer that is keyed by itself. */
  async #rootPart(vertex: Vertex): Promise<RootPart> {
    const source = handlerOf(vertex.op).asRoot?.(vertex.op)
    if (source !== undefined) return source
    const key = await this.of(vertex)
    return isIndependent(vertex) && vertex.root !== undefined ? chainOf(await this.#rootPart(vertex.root), key) : key.digest
  }
}

/** What no other build's key has. */
function unique(name: string): KeyPart {
  return { name, value: randomUUID() }
}

/** `known`: of which vertices it is known. */
function standsOn(vertex: Vertex, known: Map<Vertex, boolean>): boolean {
  const answer = known.get(vertex) ?? belowOf(vertex).some((below) => standsOn(below, known))
  known.set(vertex, answer)
  return answer
}
