import type { Key } from './path.ts'

/** Layers over all trees that something is remembered of, the oldest is forgotten; and names that one of them was asked for and has not. */
const LAYERS = 4096
const NAMES = 64

const known = new Map<string, LayerRoot>()

/**
 * What was learnt of the root directory of a layer, which nobody changes: a step looks at the roots of all layers below it, so a chain of steps would ask
 * each of its layers again for every step above.
 */
export class LayerRoot {
  #isOpaque: boolean | undefined
  readonly #missing = new Set<Key>()

  private constructor() {}

  /** `path`: of the directory of a layer in a store, complete. */
  static at(path: string): LayerRoot {
    const found = known.get(path) ?? new LayerRoot()
    known.set(path, found)
    if (known.size > LAYERS) known.delete(known.keys().next().value as string)
    return found
  }

  /** For when the layers of a store are nobody's any more. */
  static forgetAll(): void {
    known.clear()
  }

  /** Whether it hides all below it. */
  isOpaque(look: () => boolean): boolean {
    this.#isOpaque ??= look()
    return this.#isOpaque
  }

  /** What is called so there, a whiteout too; undefined when nothing is. */
  lookup<T>(name: Key, look: () => T | undefined): T | undefined {
    if (this.#missing.has(name)) return undefined
    const found = look()
    if (found === undefined && this.#missing.size < NAMES) this.#missing.add(name)
    return found
  }
}
