import { isTbuildError } from '../base/errors.ts'
import { newStack } from '../base/long-chains.ts'
import { randomHex } from '../base/random.ts'
import { belowOf, contextsOf } from '../graph/vertex.ts'
import type { ContentHasher } from '../ops/content.ts'
import type { KeyDeps, StepIo } from '../ops/types.ts'
import type { KeyPart } from '../store/types.ts'
import { actionOf } from './key.ts'
import { readParts } from './key-parts.ts'
import { type Step, standsOn } from './step.ts'

/** What keys are read with, and read again. */
export type FileDeps = KeyDeps & { readonly content: ContentHasher }

/** The caller's files as the steps of a walk read them: somebody may edit them at any time. */
export class CallerFiles {
  readonly #steps: ReadonlyMap<unknown, Step>
  readonly #deps: FileDeps
  readonly #io: Omit<StepIo, 'vertex'>
  #anyChanged = false

  constructor(steps: ReadonlyMap<unknown, Step>, deps: FileDeps, io: Omit<StepIo, 'vertex'>) {
    this.#steps = steps
    this.#deps = deps
    this.#io = io
  }

  markChanged(step: Step): void {
    step.isChanged = true
    this.#anyChanged = true
  }

  /** Files of it, or of a step below it, are others than those that a cache was asked with. */
  areOthers(step: Step): boolean {
    return (
      this.#anyChanged &&
      standsOn(step, new Map(this.#all(({ isChanged }) => isChanged).map((changed): [Step, boolean] => [changed, true])))
    )
  }

  /** True when the files of a step, and of all below it, are after a cache read them what they were before. */
  async areAsRead(step: Step): Promise<boolean> {
    if (this.areOthers(step)) return false
    step.contextsAsRead ??= this.#compare(step)
    return step.contextsAsRead
  }

  async #compare(step: Step): Promise<boolean> {
    await newStack()
    if (step.parts !== undefined && (await this.#isChangedNow(step))) return false
    for (const below of belowOf(step)) if (!(await this.areAsRead(below))) return false
    return true
  }

  /** True when the files are others now than those of the key: then the step, and what stands on it, gets another. */
  async renew(step: Step): Promise<boolean> {
    const parts = await this.#changedParts(step)
    if (parts !== undefined) this.#replace(step, parts)
    return parts !== undefined
  }

  /** Gives the step, and what stands on it, a key that no other build finds. */
  makeUnique(step: Step): void {
    this.#replace(step, [unique('files that changed while they were copied')])
  }

  #replace(step: Step, parts: readonly KeyPart[]): void {
    this.markChanged(step)
    step.parts = Promise.resolve(parts)
    this.#forgetKeys(step)
  }

  /** What its key is made of is to be read once more. */
  forget(step: Step): void {
    step.parts = undefined
    this.#forgetKeys(step)
  }

  /** Of the step and of what stands on it. */
  #forgetKeys(step: Step): void {
    const known = new Map(this.#all(({ found }) => found !== undefined).map((found): [Step, boolean] => [found, false])).set(step, true)
    for (const above of this.#all(({ key }) => key !== undefined)) if (standsOn(above, known)) above.key = undefined
  }

  /** Names of the contexts whose files are others now than what was made, or found, of them, or cannot be read any more. */
  async changedContexts(): Promise<ReadonlySet<string>> {
    const changed = new Set<string>()
    for (const step of this.#all(({ parts, isChanged }) => parts !== undefined || isChanged)) {
      const contexts = contextsOf(step.vertex)
      if (contexts.length === 0) continue
      if (this.#isBelowFound(step) || (await this.#isChangedNow(step))) for (const name of contexts) changed.add(name)
    }
    return changed
  }

  /** Of such a step the files are others than those of a step on it, which was found before. */
  #isBelowFound(step: Step): boolean {
    const known = new Map([[step, true]])
    return step.isChanged && this.#all(({ found }) => found !== undefined).some((found) => standsOn(found, known))
  }

  async #isChangedNow(step: Step): Promise<boolean> {
    try {
      return (await this.#changedParts(step)) !== undefined
    } catch (error) {
      if (isTbuildError(error)) return true
      throw error
    }
  }

  async #changedParts(step: Step): Promise<readonly KeyPart[] | undefined> {
    if (contextsOf(step.vertex).length === 0) return undefined
    const inputs = await Promise.all(step.inputs.map(({ answer }) => answer))
    // What was never read cannot be told from anything.
    if (step.parts === undefined || !inputs.every((input) => input !== undefined)) return [unique('files that were not read')]
    const refreshed = { ...this.#deps, content: this.#deps.content.refreshed() }
    const parts = await readParts(step.vertex, inputs, refreshed, { ...this.#io, vertex: step.vertex.id })
    return actionOf(parts) === actionOf(await step.parts) ? undefined : parts
  }

  #all(wanted: (step: Step) => boolean): Step[] {
    return [...this.#steps.values()].filter(wanted)
  }
}

/** What no other build's key has. */
export function unique(name: string): KeyPart {
  return { name, value: randomHex(16) }
}
