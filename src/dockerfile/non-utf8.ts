import { hasNonUtf8 } from '../base/utf8.ts'
import type { Instruction, RunInstruction } from './instruction.ts'

/**
 * Of a file with bytes that are no UTF-8: what BuildKit does not lex as words, nor decode as JSON, keeps them. Those of a heredoc with a quoted name reach the file; those
 * of a RUN are refused when it is lowered. `exact`: the same instructions, read from the text without loss.
 */
export function keepNonUtf8(instructions: readonly Instruction[], exact: readonly Instruction[]): Instruction[] {
  return instructions.map((instruction, index) => {
    const other = exact[index]
    if (instruction.kind === 'run' && other?.kind === 'run' && bytesOfRun(other)) return { ...instruction, otherBytes: true }
    if ((instruction.kind !== 'copy' && instruction.kind !== 'add') || other?.kind !== instruction.kind) return instruction
    const heredocs = instruction.heredocs.map((heredoc, at) =>
      heredoc.expand ? heredoc : { ...heredoc, content: other.heredocs[at]?.content ?? '' },
    )
    return { ...instruction, heredocs }
  })
}

function bytesOfRun({ command, heredocs, mounts }: RunInstruction): boolean {
  const texts = command.form === 'shell' ? [command.command, ...heredocs.map(({ raw }) => raw)] : []
  return [...texts, ...mounts.map(({ text }) => text)].some(hasNonUtf8)
}
