import type { Platform } from '../base/platform.ts'
import type { Span } from '../base/span.ts'
import type { Instruction, StagedDockerfile } from '../dockerfile/instruction.ts'
import { parseMount } from '../dockerfile/mount.ts'
import { findContext } from './base.ts'
import type { BaseChoice, LowerOptions } from './lower-types.ts'

/** An image that a stage needs. */
export interface NeededImage {
  readonly reference: string
  readonly platform: Platform
  /** The reference is a named context's, not of the file. */
  readonly named: boolean
  /** Of the instruction that names it. */
  readonly span: Span
}

interface Reach {
  /** In the order of the file. */
  readonly stages: readonly number[]
  readonly images: readonly NeededImage[]
}

/** What the Dockerfile's text says that `targets` need, themselves included. What ONBUILD triggers will add is found on demand. */
export function reachOf(file: StagedDockerfile, bases: readonly BaseChoice[], targets: readonly number[], options: LowerOptions): Reach {
  const images: NeededImage[] = []
  const seen = new Set<number>()
  const visit = (index: number) => {
    const base = bases[index]
    const stage = file.stages[index]
    if (base === undefined || stage === undefined || seen.has(index)) return
    seen.add(index)
    if (base.kind === 'stage') visit(base.index)
    if (base.kind === 'image') images.push({ ...base, named: base.named === true, span: stage.from.span })
    if (base.kind !== 'stage' && base.replacesStage === true) return
    for (const { name, allowIndex, span } of stage.instructions.flatMap(fromNames)) {
      const found = findStage(file, name, allowIndex)
      const image = found === undefined ? imageOf(name, span, options) : undefined
      if (found !== undefined) visit(found)
      else if (image !== undefined) images.push(image)
    }
  }
  for (const target of targets) visit(target)
  return { stages: [...seen].sort((a, b) => a - b), images }
}

/** What a `--from` names that is no stage, if it is an image; that is the target's, whatever the platform of the stage. */
function imageOf(name: string, span: Span, options: LowerOptions): NeededImage | undefined {
  const platform = options.targetPlatform
  const context = findContext(name, platform, options)
  if (context === undefined) return name === 'scratch' ? undefined : { reference: name, platform, named: false, span }
  return context.kind === 'image' ? { reference: context.reference, platform, named: true, span } : undefined
}

/** A stage by name, the last of that name (G3), or for COPY by index (G4). */
export function findStage(file: StagedDockerfile, name: string, allowIndex: boolean): number | undefined {
  const byName = file.stages.findLastIndex((stage) => stage.name === name.toLowerCase())
  if (byName >= 0) return byName
  if (allowIndex && /^[+-]?\d+$/.test(name)) return Number(name)
  return undefined
}

/** The stages and images that an instruction takes files from. */
export function fromNames(instruction: Instruction): { name: string; allowIndex: boolean; span: Span }[] {
  if (instruction.kind === 'copy' && instruction.from !== undefined) {
    return [{ name: instruction.from.text, allowIndex: true, span: instruction.span }]
  }
  if (instruction.kind !== 'run') return []
  return instruction.mounts.flatMap((word) => {
    try {
      const mount = parseMount(word.text)
      return 'from' in mount && mount.from !== undefined ? [{ name: mount.from, allowIndex: false, span: word.span }] : []
    } catch {
      // The instruction's own lowering reports it, with its place.
      return []
    }
  })
}
