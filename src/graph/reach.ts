import type { Platform } from '../base/platform.ts'
import type { Instruction, StagedDockerfile } from '../dockerfile/instruction.ts'
import { parseMount } from '../dockerfile/mount.ts'
import { findContext } from './base.ts'
import type { BaseChoice, LowerOptions } from './lower-types.ts'

/** An image that the target needs. */
interface NeededImage {
  readonly reference: string
  readonly platform: Platform
}

/**
 * The images that the Dockerfile's text says the target needs, without those that ONBUILD triggers will add: enough to look all of them up at once.
 * Nothing is decided here, lowering finds the same on demand.
 */
export function neededImages(file: StagedDockerfile, bases: readonly BaseChoice[], target: number, options: LowerOptions): NeededImage[] {
  const images: NeededImage[] = []
  const seen = new Set<number>()
  const visit = (index: number) => {
    const base = bases[index]
    const stage = file.stages[index]
    if (base === undefined || stage === undefined || seen.has(index)) return
    seen.add(index)
    if (base.kind === 'stage') visit(base.index)
    if (base.kind === 'image') images.push({ reference: base.reference, platform: base.platform })
    if (base.kind !== 'stage' && base.replacesStage === true) return
    for (const from of stage.instructions.flatMap(fromNames)) {
      const found = findStage(file, from.name, from.allowIndex)
      if (found !== undefined) visit(found)
      else if (findContext(from.name, options.targetPlatform, options) === undefined && from.name !== 'scratch') {
        images.push({ reference: from.name, platform: options.targetPlatform })
      }
    }
  }
  visit(target)
  return images
}

/** A stage by name, the last of that name (G3), or for COPY by index (G4). */
export function findStage(file: StagedDockerfile, name: string, allowIndex: boolean): number | undefined {
  const byName = file.stages.findLastIndex((stage) => stage.name === name.toLowerCase())
  if (byName >= 0) return byName
  if (allowIndex && /^[+-]?\d+$/.test(name)) return Number(name)
  return undefined
}

/** The stages and images that an instruction takes files from. */
export function fromNames(instruction: Instruction): { name: string; allowIndex: boolean }[] {
  if (instruction.kind === 'copy' && instruction.from !== undefined) return [{ name: instruction.from.text, allowIndex: true }]
  if (instruction.kind !== 'run') return []
  return instruction.mounts.flatMap((word) => {
    try {
      const mount = parseMount(word.text)
      return 'from' in mount && mount.from !== undefined ? [{ name: mount.from, allowIndex: false }] : []
    } catch {
      // The instruction's own lowering reports it, with its place.
      return []
    }
  })
}
