import type { Instruction, StagedDockerfile } from '../instruction.ts'
import type { Report } from './lint.ts'

/** Checks that look at how every line is written. */
export function checkFile({ globals, stages }: StagedDockerfile, report: Report): void {
  const staged = stages.flatMap(({ from, instructions }): Instruction[] => [from, ...instructions])
  for (const instruction of [...globals, ...staged]) {
    const { end } = instruction.span
    const span = { ...instruction.span, start: { line: end.line, column: 1 } }
    if (instruction.emptyContinuations.length > 0) report('NoEmptyContinuation', instruction, 'Empty continuation line', span)
    checkDescription(instruction, report)
  }
  checkCasing(staged, report)
}

/** Mixed case counts for neither side; a tie is upper case. ARGs before the first FROM are not looked at, as in BuildKit. */
function checkCasing(instructions: readonly Instruction[], report: Report): void {
  const lower = instructions.filter(({ keyword }) => keyword === keyword.toLowerCase()).length
  const upper = instructions.filter(({ keyword }) => keyword === keyword.toUpperCase()).length
  const majority = lower > upper ? 'lowercase' : 'uppercase'
  for (const instruction of instructions) {
    const { keyword } = instruction
    if (keyword === (majority === 'lowercase' ? keyword.toLowerCase() : keyword.toUpperCase())) continue
    report('ConsistentInstructionCasing', instruction, `Command '${keyword}' should match the case of the command majority (${majority})`)
  }
}

function checkDescription(instruction: Instruction, report: Report): void {
  const names = describedNames(instruction)
  const comment = instruction.comments.at(-1)
  if (comment === undefined || names.length === 0 || names.includes(comment.split(' ')[0] ?? '')) return
  const example = names.length > 1 ? '<arg_key>' : names[0]
  const kind = instruction.kind.toUpperCase()
  report('InvalidDefinitionDescription', instruction, `Comment for ${kind} should follow the format: \`# ${example} <description>\``)
}

function describedNames(instruction: Instruction): string[] {
  if (instruction.kind === 'arg') return instruction.args.map(({ name }) => name)
  return instruction.kind === 'from' && instruction.alias !== undefined ? [instruction.alias] : []
}
