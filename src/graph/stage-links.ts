import { type ErrorPlace, TbuildError, withSpan } from '../base/errors.ts'
import type { CopyInstruction, Directives, StagedDockerfile, Word } from '../dockerfile/instruction.ts'
import { expandWord } from '../dockerfile/word.ts'
import { Env } from './env.ts'
import { fromNames } from './reach.ts'
import type { StageNames } from './stage-names.ts'

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
export function checkStageLinks(file: StagedDockerfile, names: StageNames): void {
  const links = file.stages.map(({ index }) => linksOf(file, names, index))
  const visited = new Set<number>()
  for (const { index, name = `stage-${index}` } of file.stages) {
    const circle = circleFrom(index, links, visited)
    if (circle === undefined) continue
    const others = circle.slice(0, -1).map(({ within }) => within)
    throw new TbuildError('STAGE_CYCLE', `circular dependency detected on stage: ${name}`, { ...(circle.at(-1) as ErrorPlace), others })
  }
}

/** By stage, where it is taken from: the last place counts. */
type Links = ReadonlyMap<number, ErrorPlace>

/** The places that lead from a stage into a circle. No recursion: a chain of stages may be longer than the stack. */
function circleFrom(start: number, links: readonly Links[], visited: Set<number>): ErrorPlace[] | undefined {
  if (visited.has(start)) return undefined
  const path: { readonly index: number; readonly rest: Iterator<[number, ErrorPlace]> }[] = []
  const onPath = new Set<number>()
  const taken: ErrorPlace[] = []
  const enter = (index: number) => {
    visited.add(index)
    onPath.add(index)
    path.push({ index, rest: (links[index] as Links).entries() })
  }
  enter(start)
  for (let top = path.at(-1); top !== undefined; top = path.at(-1)) {
    const { value, done } = top.rest.next()
    if (done) {
      onPath.delete(top.index)
      path.pop()
      taken.pop()
      continue
    }
    const [to, place] = value
    if (onPath.has(to)) return [...taken, place]
    if (visited.has(to)) continue
    taken.push(place)
    enter(to)
  }
  return undefined
}

function linksOf(file: StagedDockerfile, names: StageNames, index: number): Links {
  const links = new Map<number, ErrorPlace>()
  for (const instruction of file.stages[index]?.instructions ?? []) {
    if (instruction.kind === 'copy') copyFrom(instruction, file.directives)
    for (const { name, allowIndex, place } of fromNames(instruction)) {
      const to = names.indexOf(name, allowIndex)
      if (to === undefined) continue
      if (to < 0 || to >= file.stages.length)
        throw new TbuildError('STAGE_INDEX', `invalid stage index ${BigInt(name.replace('+', ''))}`, place)
      links.set(to, place)
    }
  }
  return links
}
