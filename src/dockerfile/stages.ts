import { TbuildError } from '../base/errors.ts'
import type { SourceFile } from '../base/span.ts'
import type { ArgInstruction, Dockerfile, FromInstruction, Instruction, Stage, StagedDockerfile } from './instruction.ts'
import { parseDockerfile } from './parse.ts'

/** Parses a Dockerfile and splits it at its FROMs. */
export function parseStages(file: SourceFile): StagedDockerfile {
  return splitStages(parseDockerfile(file), file)
}

function splitStages(dockerfile: Dockerfile, file: SourceFile): StagedDockerfile {
  const globals: ArgInstruction[] = []
  const stages: { from: FromInstruction; instructions: Exclude<Instruction, FromInstruction>[] }[] = []
  for (const instruction of dockerfile.instructions) {
    const stage = stages.at(-1)
    if (instruction.kind === 'from') stages.push({ from: instruction, instructions: [] })
    else if (stage !== undefined) stage.instructions.push(instruction)
    else if (instruction.kind === 'arg') globals.push(instruction)
    else throw new Error('the parser lets only ARG stand before the first FROM')
  }
  if (stages.length === 0) {
    const span = globals.at(-1)?.span ?? { file, start: { line: 1, column: 1 }, end: { line: 1, column: 1 } }
    throw new TbuildError('DOCKERFILE_SYNTAX', 'dockerfile contains no stages to build', { span, hint: 'add a FROM' })
  }
  return {
    directives: dockerfile.directives,
    globals,
    stages: stages.map(({ from, instructions }, index) => stage(index, from, instructions)),
  }
}

function stage(index: number, from: FromInstruction, instructions: Stage['instructions']): Stage {
  const span = { ...from.span, end: (instructions.at(-1) ?? from).span.end }
  return { index, ...(from.alias === undefined ? {} : { name: from.alias }), from, instructions, span }
}
