import type { Instruction, Stage } from '../dockerfile/instruction.ts'
import { formatPlatform } from '../values/platform.ts'
import type { BaseChoice, LowerOptions } from './lower-types.ts'

type BaseKind = BaseChoice['kind']

/** What a stage is called; '' is not at all. */
export interface StageName {
  readonly shown: string
  readonly inHistory: string
}

/** Numbers the steps of a stage for display: `[build 2/5] RUN npm ci`; those that make no layer do not count, FROM of an image does. */
export class StepCounter {
  readonly #prefix: string
  readonly #described: string
  readonly #total: number
  readonly #identity: string
  readonly #uncounted: number
  #current = 0

  /** `base`: FROM is a step where it is an image. Files of a context have a number without a step, as BuildKit counts. */
  constructor(
    stage: Stage,
    name: StageName,
    base: BaseKind,
    instructions: readonly Instruction[],
    { platforms, naming }: Pick<LowerOptions, 'platforms' | 'naming'>,
  ) {
    const target = formatPlatform(platforms.target)
    const foreign = target !== formatPlatform(platforms.build)
    this.#prefix = [foreign ? target : '', name.shown].filter(Boolean).join(' ')
    this.#described = [naming.idPrefix?.trim(), name.inHistory].filter(Boolean).join(' ')
    const steps = instructions.filter((instruction) => ['run', 'copy', 'add', 'workdir'].includes(instruction.kind)).length
    this.#uncounted = base === 'image' ? 0 : 1
    this.#total = (base === 'stage' || base === 'scratch' ? 0 : 1) + steps
    this.#identity = [naming.identity, target, stage.name ?? stage.index].join('|')
  }

  /** The name of the next step, its place as history says it (I8), and where explain finds its earlier records. */
  next(text: string, kind: string): { name: string; place: string; step: string } {
    this.#current += 1
    const width = String(this.#total).length
    const position = `${String(this.#current - this.#uncounted).padStart(width)}/${this.#total}`
    const placed = (prefix: string) => (prefix === '' ? `[${position}]` : `[${prefix} ${position}]`)
    return {
      name: `${placed(this.#prefix)} ${oneLine(text)}`,
      place: placed(this.#described),
      step: `${this.#identity}|${this.#current}|${kind}`,
    }
  }
}

/** Instructions are shown unexpanded (a secret may be in a variable), upper-cased and on one line. */
export function instructionText(instruction: Instruction): string {
  return instruction.keyword.toUpperCase() + instruction.source.slice(instruction.keyword.length)
}

function oneLine(text: string): string {
  const [first = '', ...rest] = text.split('\n')
  return rest.some((line) => line.trim() !== '') ? `${first.trimEnd()} …` : first.trimEnd()
}
