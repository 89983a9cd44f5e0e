import { type ErrorPlace, TbuildError, withSpan } from '../base/errors.ts'
import type { CopyInstruction, Directives, StagedDockerfile, Word } from '../dockerfile/instruction.ts'
import { expandWord } from '../dockerfile/word.ts'
import { Env } from './env.ts'
import { findStage, fromNames } from './reach.ts'

/** The name of a COPY's --from, which goes through the word lexer only to see that it stays what it is. Throws EXPANSION_FAILED, FROM_VARIABLE (G7). */
export function copyFrom(instruction: CopyInstruction, directives: Directives): string | undefined {
  const { from } = instruction
  if (from !== undefined && lexed(from, directives) !== from.text) {
    throw new TbuildError(
      'FROM_VARIABLE',
      'variable expansion is not supported for --from, define a new stage with FROM using ARG from global scope as a workaround',
      { span: from.span, within: instruction.span },
    )
  }
  return from?.text
}

function lexed({ text, span }: Word, directives: Directives): string {
  try {
    return expandWord(text, Env.empty, directives).result
  } catch (error) {
    throw withSpan(error, span)
  }
}

/**
 * What the stages take from each other, checked for those too that nothing needs or that a named context replaces: no --from is a variable, no index is too large (STAGE_INDEX), no stage takes
 * from itself by way of others (G11, STAGE_CYCLE). FROM is no such link: a stage is FROM an earlier one.
 */
export function checkStageLinks(file: StagedDockerfile): void {
  const links = file.stages.map(({ index }) => linksOf(file, index))
  const visited = new Set<number>()
  const onPath = new Set<number>()
  const taken: ErrorPlace[] = []
  const closesCircle = (index: number): boolean => {
    if (visited.has(index)) return false
    visited.add(index)
    onPath.add(index)
    for (const [to, place] of links[index] ?? []) {
      taken.push(place)
      if (onPath.has(to) || closesCircle(to)) return true
      taken.pop()
    }
    onPath.delete(index)
    return false
  }
  for (const { index, name = `stage-${index}` } of file.stages) {
    if (!closesCircle(index)) continue
    const others = taken.slice(0, -1).map(({ within }) => within)
    throw new TbuildError('STAGE_CYCLE', `circular dependency detected on stage: ${name}`, { ...(taken.at(-1) as ErrorPlace), others })
  }
}

/** By stage, where it is taken from: the last place counts. */
function linksOf(file: StagedDockerfile, index: number): ReadonlyMap<number, ErrorPlace> {
  const links = new Map<number, ErrorPlace>()
  for (const instruction of file.stages[index]?.instructions ?? []) {
    if (instruction.kind === 'copy') copyFrom(instruction, file.directives)
    for (const { name, allowIndex, place } of fromNames(instruction)) {
      const to = findStage(file, name, allowIndex)
      if (to === undefined) continue
      if (to < 0 || to >= file.stages.length)
        throw new TbuildError('STAGE_INDEX', `invalid stage index ${BigInt(name.replace('+', ''))}`, place)
      links.set(to, place)
    }
  }
  return links
}
