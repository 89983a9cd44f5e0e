import type { CopyInstruction } from '../dockerfile/instruction.ts'
import { argsForHistory, type BuildArg } from './build-args.ts'
import type { Env } from './env.ts'

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
  parts.push(...words.sources, ...instruction.heredocs.map((heredoc) => `<<${heredoc.name}`), words.destination)
  return `${parts.join(' ')} # buildkit`
}
