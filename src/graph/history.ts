import { errorCode } from '../base/errors.ts'
import { maskUrls } from '../base/mask-url.ts'
import type { CopyInstruction, Directives, Instruction } from '../dockerfile/instruction.ts'
import { expandWord } from '../dockerfile/word.ts'
import { argsForHistory, type BuildArg } from './build-args.ts'
import type { Env } from './env.ts'
import type { Op } from './op.ts'
import { instructionText } from './step-name.ts'

/** The texts of history entries, as BuildKit writes them (I2, I3). */

export function runHistory(args: readonly string[], declared: readonly BuildArg[], env: Env): string {
  return `RUN ${[...argsForHistory(declared, env), ...args].join(' ')} # buildkit`
}

/** Only --parents, --chown and --chmod are shown; all words are expanded. */
export function copyHistory(
  instruction: CopyInstruction,
  words: { sources: readonly string[]; destination: string; chown?: string | undefined; chmod?: string | undefined },
): string {
  const parts = [instruction.kind === 'add' ? 'ADD' : 'COPY']
  if (instruction.parents) parts.push('--parents')
  if (words.chown) parts.push(`--chown=${words.chown}`)
  if (words.chmod) parts.push(`--chmod=${words.chmod}`)
  // The image says whence a file came, not by whose login.
  parts.push(
    ...words.sources.map((source) => maskUrls(source)),
    ...instruction.heredocs.map((heredoc) => `<<${heredoc.name}`),
    words.destination,
  )
  return `${parts.join(' ')} # buildkit`
}

/** What BuildKit's exporter writes of a layer that no entry is left for (I8): the instruction's first line, expanded as one word if it can be. */
export function layerDescription(op: Op, instruction: Instruction, place: string, env: Env, directives: Directives): string {
  if (op.kind === 'exec') return `mount / from exec ${op.args.join(' ')}`
  const [line = ''] = instructionText(instruction).split('\n')
  return `${place} ${expandedLine(line, env, directives)}`
}

function expandedLine(line: string, env: Env, directives: Directives): string {
  if (!/[$'"\\`]/.test(line)) return line
  try {
    return expandWord(line, env, directives).result
  } catch (error) {
    if (errorCode(error) !== 'EXPANSION_FAILED') throw error
    return line
  }
}
