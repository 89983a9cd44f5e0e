import type { Directives, Instruction } from '../dockerfile/instruction.ts'
import type { StageChecks } from '../dockerfile/lint/stage-checks.ts'
import { expandWord, expandWords, unmatchedBefore } from '../dockerfile/word.ts'
import type { BuildArg } from './build-args.ts'
import type { Env } from './env.ts'

/** Expands words with the environment as it was before the instruction (X7). */
export interface Expander {
  /** One word, whatever stands in it. */
  word(text: string): string
  /** A word that white space in a variable's value splits into several. */
  words(text: string): string[]
}

/** Where words are expanded: whose they are and what is known there. */
interface ExpansionPlace {
  readonly instruction: Instruction
  /** Declared before; those without a value are known and empty. */
  readonly args: readonly BuildArg[]
  readonly directives: Directives
  readonly checks: StageChecks
}

/** Expands the words of one instruction and tells the checks of variables that nothing defines. `raw`: heredoc bodies (H7). */
export function expanderAt(place: ExpansionPlace, env: Env, raw: boolean): Expander {
  const { instruction, args, directives, checks } = place
  const declared = (name: string) => args.some((arg) => arg.name === name)
  const report = (unmatched: ReadonlySet<string>) => {
    if (unmatched.size > 0) checks.undefinedVariables(instruction, unmatched, declared, () => env.keys())
  }
  return {
    word(text) {
      try {
        const { result, unmatched } = expandWord(text, env, raw ? { escape: '\\', raw } : directives)
        report(unmatched)
        return result
      } catch (failure) {
        report(unmatchedBefore(failure))
        throw failure
      }
    },
    words: (text) => expandWords(text, env, directives),
  }
}
