import { goQuote } from '../../go/quote.ts'
import type { FromInstruction, Instruction, InstructionBase, StagedDockerfile } from '../instruction.ts'
import type { BrokenDockerfile } from '../parse.ts'
import { inFile, type Report } from './linter.ts'

const MAINTAINER = 'Maintainer instruction is deprecated in favor of using label'
const RESERVED = new Set(['context', 'scratch'])

/** Checks of how the file is written, in BuildKit's order: continuations, each instruction by itself, names of stages, casing. */
export function checkText({ globals, stages }: StagedDockerfile, report: Report): void {
  const staged = stages.flatMap(({ from, instructions }): Instruction[] => [from, ...instructions])
  const all = [...globals, ...staged]
  for (const instruction of all) checkContinuations(instruction, report)
  for (const instruction of all) checkInstruction(instruction, report)
  checkStageNames(
    stages.map(({ from }) => from),
    report,
  )
  checkCasing(staged, report)
}

/** The same of a file with a wrong instruction, as far as BuildKit comes: of the wrong one, what it finds before it reads its arguments. */
export function checkBroken({ bases, instructions, wrong }: BrokenDockerfile, report: Report): void {
  for (const base of bases) checkContinuations(base, report)
  for (const instruction of instructions) checkInstruction(instruction, report)
  if (wrong === undefined) return
  const { base, words } = wrong
  if (/^maintainer$/i.test(base.keyword)) report('MaintainerDeprecated', base, MAINTAINER)
  if (/^from$/i.test(base.keyword)) checkAlias(base, words, report)
}

/** Reported once, at the last line that was read for it. */
function checkContinuations({ emptyContinuation, span }: InstructionBase, report: Report): void {
  if (emptyContinuation === undefined) return
  const place = { line: emptyContinuation, column: 1 }
  report('NoEmptyContinuation', inFile({ span: { ...span, start: place, end: place } }), 'Empty continuation line')
}

function checkInstruction(instruction: Instruction, report: Report): void {
  switch (instruction.kind) {
    case 'from':
      if (instruction.alias === undefined) break
      checkAlias(instruction, [instruction.image.text, instruction.asKeyword ?? '', instruction.aliasWritten ?? ''], report)
      checkDescription(instruction, [instruction.alias], report)
      break
    case 'arg': {
      const names = instruction.args.map(({ name }) => name)
      checkDescription(instruction, names, report)
      break
    }
    case 'maintainer':
      report('MaintainerDeprecated', instruction, MAINTAINER)
  }
}

/** The words behind FROM, whatever the second of them is. */
function checkAlias(from: InstructionBase, [, as, name, ...more]: readonly string[], report: Report): void {
  const { keyword } = from
  if (as === undefined || name === undefined) return
  if (more.length === 0 && !isLower(name)) report('StageNameCasing', from, `Stage name '${name}' should be lowercase`)
  if (isMixed(keyword) || as === (isLower(keyword) ? as.toLowerCase() : as.toUpperCase())) return
  report('FromAsCasing', from, `'${as}' and '${keyword}' keywords' casing do not match`)
}

function checkDescription(instruction: Instruction, names: readonly string[], report: Report): void {
  const comment = instruction.comments.at(-1)
  if (comment === undefined || names.length === 0 || names.includes(comment.split(' ')[0] as string)) return
  const example = names.length > 1 ? '<arg_key>' : names[0]
  const kind = instruction.kind.toUpperCase()
  report('InvalidDefinitionDescription', instruction, `Comment for ${kind} should follow the format: \`# ${example} <description>\``)
}

function checkStageNames(froms: readonly FromInstruction[], report: Report): void {
  const names = new Set<string>()
  for (const from of froms) {
    const { alias } = from
    if (alias === undefined) continue
    if (RESERVED.has(alias)) {
      report('ReservedStageName', inFile(from), `Stage name should not use the same name as reserved stage ${goQuote(alias)}`)
    }
    if (names.has(alias)) report('DuplicateStageName', inFile(from), `Duplicate stage name ${goQuote(alias)}, stage names should be unique`)
    names.add(alias)
  }
}

/** Mixed case counts for neither side; a tie is upper case. ARGs before the first FROM are not looked at, as in BuildKit. */
function checkCasing(instructions: readonly Instruction[], report: Report): void {
  const lower = instructions.filter(({ keyword }) => isLower(keyword)).length
  const upper = instructions.filter(({ keyword }) => keyword === keyword.toUpperCase()).length
  const majority = lower > upper ? 'lowercase' : 'uppercase'
  for (const instruction of instructions) {
    const { keyword } = instruction
    if (keyword === (majority === 'lowercase' ? keyword.toLowerCase() : keyword.toUpperCase())) continue
    report(
      'ConsistentInstructionCasing',
      inFile(instruction),
      `Command '${keyword}' should match the case of the command majority (${majority})`,
    )
  }
}

function isLower(keyword: string): boolean {
  return keyword === keyword.toLowerCase()
}

function isMixed(keyword: string): boolean {
  return !isLower(keyword) && keyword !== keyword.toUpperCase()
}
