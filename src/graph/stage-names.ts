import type { Stage } from '../dockerfile/instruction.ts'

/** The stages of a Dockerfile by name. Of several of one name a later one counts. */
export class StageNames {
  /** In the order of the file. */
  readonly #named = new Map<string, Stage[]>()

  constructor(stages: readonly Stage[]) {
    for (const stage of stages) {
      if (stage.name === undefined) continue
      const known = this.#named.get(stage.name)
      if (known === undefined) this.#named.set(stage.name, [stage])
      else known.push(stage)
    }
  }

  /** What a `--from` names: a stage by name, the last of that name (G3), or for COPY by index (G4), which may be none. */
  indexOf(name: string, allowIndex: boolean): number | undefined {
    const byName = this.#named.get(name.toLowerCase())?.at(-1)
    if (byName !== undefined) return byName.index
    return allowIndex && isIndex(name) ? Number(name) : undefined
  }

  /** What a FROM names. Verbatim: `FROM Base` does not find the stage `base` (G1); only stages before that of the FROM. */
  before(index: number, name: string): Stage | undefined {
    return this.#named.get(name)?.findLast((stage) => stage.index < index)
  }
}

/** What strconv.Atoi takes; any other number is a name. */
function isIndex(name: string): boolean {
  return /^[+-]?\d+$/.test(name) && BigInt.asIntN(64, BigInt(name.replace('+', ''))) === BigInt(name.replace('+', ''))
}
