import type { ErrorPlace } from '../base/errors.ts'
import type { Instruction, Stage } from '../dockerfile/instruction.ts'
import { mountFrom } from '../dockerfile/mount.ts'
import type { Platform } from '../values/platform.ts'
import { findContext } from './base.ts'
import type { BaseChoice, LowerOptions } from './lower-types.ts'
import type { StageNames } from './stage-names.ts'

/** An image that a stage needs. */
export interface NeededImage {
  readonly reference: string
  readonly platform: Platform
  readonly place: ErrorPlace
}

/** A stage or image that an instruction takes files from. */
export interface FromName {
  readonly name: string
  readonly allowIndex: boolean
  readonly place: ErrorPlace
}

interface Reach {
  /** In the order of the file. */
  readonly stages: readonly number[]
  readonly images: readonly NeededImage[]
}

type FromOptions = Pick<LowerOptions, 'platforms' | 'from'>

export interface ReachDeps {
  readonly stages: readonly Stage[]
  readonly names: StageNames
  readonly bases: readonly BaseChoice[]
  readonly options: FromOptions
}

/**
 * What the Dockerfile's text says that `targets` need, themselves included: images in the order in which the stages come to them. What ONBUILD triggers will add
 * is found on demand.
 */
export function reachOf(targets: readonly number[], deps: ReachDeps): Reach {
  const images: NeededImage[] = []
  const seen = new Set<number>()
  // No recursion: a chain of stages may be longer than the stack.
  const open = [targets.values() as Iterator<Need>]
  for (let needs = open.at(-1); needs !== undefined; needs = open.at(-1)) {
    const { value, done } = needs.next()
    if (done) open.pop()
    else if (typeof value !== 'number') images.push(value)
    else if (!seen.has(value) && value >= 0 && value < deps.stages.length) {
      seen.add(value)
      open.push(needsOf(value, deps))
    }
  }
  return { stages: [...seen].sort((a, b) => a - b), images }
}

/** A stage, or an image. */
type Need = number | NeededImage

function* needsOf(index: number, { stages, names, bases, options }: ReachDeps): Generator<Need> {
  const base = bases[index] as BaseChoice
  const { from, instructions } = stages[index] as Stage
  if (base.kind === 'stage') yield base.index
  if (base.kind === 'image') yield { ...base, place: { span: from.span, within: from.span } }
  // Of a stage that a named context replaces, too.
  for (const { name, allowIndex, place } of instructions.flatMap(fromNames)) {
    const need = names.indexOf(name, allowIndex) ?? imageOf(name, place, options)
    if (need !== undefined) yield need
  }
}

/** What a `--from` names that is no stage, if it is an image; that is the target's, whatever the platform of the stage. */
function imageOf(name: string, place: ErrorPlace, options: FromOptions): NeededImage | undefined {
  const platform = options.platforms.target
  const context = findContext(name, platform, options.from)
  if (context === undefined) return name === 'scratch' ? undefined : { reference: name, platform, place }
  return context.kind === 'image' ? { reference: context.reference, platform, place } : undefined
}

/** The stages and images that an instruction takes files from. */
export function fromNames(instruction: Instruction): FromName[] {
  const within = instruction.span
  if (instruction.kind === 'copy' && instruction.from !== undefined) {
    return [{ name: instruction.from.text, allowIndex: true, place: { span: within, within } }]
  }
  if (instruction.kind !== 'run') return []
  return instruction.mounts.flatMap(({ text, span }) => {
    const name = mountFrom(text)
    return name === undefined ? [] : [{ name, allowIndex: false, place: { span, within } }]
  })
}
