import { TbuildError } from '../base/errors.ts'
import type { Span } from '../base/span.ts'
import type { CopyInstruction, StagedDockerfile } from '../dockerfile/instruction.ts'
import { findStage, fromNames } from './reach.ts'

/** The name of a COPY's --from. Throws FROM_VARIABLE (G7). */
export function copyFrom(instruction: CopyInstruction): string | undefined {
  const { from } = instruction
  if (from?.text.includes('$')) {
    throw new TbuildError(
      'FROM_VARIABLE',
      'variable expansion is not supported for --from, define a new stage with FROM using ARG from global scope as a workaround',
      { span: from.span },
    )
  }
  return from?.text
}

interface Link {
  readonly to: number
  readonly span: Span
}

/**
 * What the stages take from each other, checked for those too that nothing needs or that a named context replaces: no --from is a variable, no index is too large (STAGE_INDEX), no stage takes
 * from itself by way of others (G11, STAGE_CYCLE). FROM is no such link: a stage is FROM an earlier one.
 */
export function checkStageLinks(file: StagedDockerfile): void {
  const links = file.stages.map(({ index }) => linksOf(file, index))
  const visited = new Set<number>()
  const onPath = new Set<number>()
  const visit = (index: number): Span | undefined => {
    if (visited.has(index)) return undefined
    visited.add(index)
    onPath.add(index)
    for (const { to, span } of links[index] ?? []) {
      if (onPath.has(to)) return span
      const found = visit(to)
      if (found !== undefined) return found
    }
    onPath.delete(index)
    return undefined
  }
  for (const { index, name = `stage-${index}` } of file.stages) {
    const span = visit(index)
    if (span !== undefined) throw new TbuildError('STAGE_CYCLE', `circular dependency detected on stage: ${name}`, { span })
  }
}

function linksOf(file: StagedDockerfile, index: number): Link[] {
  return (file.stages[index]?.instructions ?? []).flatMap((instruction) => {
    if (instruction.kind === 'copy') copyFrom(instruction)
    return fromNames(instruction).flatMap(({ name, allowIndex, span }) => {
      const to = findStage(file, name, allowIndex)
      if (to === undefined) return []
      if (to < 0 || to >= file.stages.length) throw new TbuildError('STAGE_INDEX', `invalid stage index ${to}`, { span })
      return [{ to, span }]
    })
  })
}
