import type { ErrorPlace } from '../base/errors.ts'
import type { Instruction, StagedDockerfile } from '../dockerfile/instruction.ts'
import { mountFrom } from '../dockerfile/mount.ts'
import type { Platform } from '../values/platform.ts'
import { findContext } from './base.ts'
import type { BaseChoice, LowerOptions } from './lower-types.ts'

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

/** What the Dockerfile's text says that `targets` need, themselves included. What ONBUILD triggers will add is found on demand. */
export function reachOf(file: StagedDockerfile, bases: readonly BaseChoice[], targets: readonly number[], options: FromOptions): Reach {
  const images: NeededImage[] = []
  const seen = new Set<number>()
  const visit = (index: number) => {
    const base = bases[index]
    const stage = file.stages[index]
    if (base === undefined || stage === undefined || seen.has(index)) return
    seen.add(index)
    if (base.kind === 'stage') visit(base.index)
    if (base.kind === 'image') images.push({ ...base, place: { span: stage.from.span, within: stage.from.span } })
    // Of a stage that a named context replaces, too.
    for (const { name, allowIndex, place } of stage.instructions.flatMap(fromNames)) {
      const found = findStage(file, name, allowIndex)
      const image = found === undefined ? imageOf(name, place, options) : undefined
      if (found !== undefined) visit(found)
      else if (image !== undefined) images.push(image)
    }
  }
  for (const target of targets) visit(target)
  return { stages: [...seen].sort((a, b) => a - b), images }
}

/** What a `--from` names that is no stage, if it is an image; that is the target's, whatever the platform of the stage. */
function imageOf(name: string, place: ErrorPlace, options: FromOptions): NeededImage | undefined {
  const platform = options.platforms.target
  const context = findContext(name, platform, options.from)
  if (context === undefined) return name === 'scratch' ? undefined : { reference: name, platform, place }
  return context.kind === 'image' ? { reference: context.reference, platform, place } : undefined
}

/** A stage by name, the last of that name (G3), or for COPY by index (G4). */
export function findStage(file: StagedDockerfile, name: string, allowIndex: boolean): number | undefined {
  const byName = file.stages.findLastIndex((stage) => stage.name === name.toLowerCase())
  if (byName >= 0) return byName
  return allowIndex && isIndex(name) ? Number(name) : undefined
}

/** What strconv.Atoi takes; any other number is a name. */
function isIndex(name: string): boolean {
  return /^[+-]?\d+$/.test(name) && BigInt.asIntN(64, BigInt(name.replace('+', ''))) === BigInt(name.replace('+', ''))
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
