import type { Span } from '../../base/span.ts'
import type { InstructionBase, StagedDockerfile } from '../instruction.ts'
import { type CheckConfig, isEnabled, parseCheckConfig, skippedByComments } from './config.ts'
import { checkFile } from './file-checks.ts'
import { checkInstructions } from './instruction-checks.ts'
import { RULES, type RuleName, ruleUrl } from './rules.ts'
import { checkStageNames } from './stage-checks.ts'

/** One warning, with BuildKit's texts. */
export interface Finding {
  readonly rule: RuleName
  /** What is wrong here. */
  readonly message: string
  /** What the rule says. */
  readonly description: string
  readonly url: string | undefined
  readonly span: Span
}

/** Collects findings; skips what the file or the comments above an instruction switch off. */
export type Report = (rule: RuleName, instruction: InstructionBase, message: string, span?: Span) => void

/** A report for checks that run elsewhere too, because they need expansion, the context or the base image. */
export function reporter(config: CheckConfig, found: Finding[]): Report {
  return (rule, instruction, message, span = instruction.span) => {
    if (!isEnabled(config, rule) || skippedByComments(instruction.comments, rule)) return
    found.push({ rule, message, description: RULES[rule], url: ruleUrl(rule), span })
  }
}

/** All checks that the text alone decides, in the order of the lines. `check` overrides `# check=` (BUILDKIT_DOCKERFILE_CHECK). */
export function lint(file: StagedDockerfile, check = file.directives.check): Finding[] {
  const found: Finding[] = []
  const report = reporter(parseCheckConfig(check), found)
  checkFile(file, report)
  checkStageNames(file, report)
  checkInstructions(file, report)
  return found.sort((a, b) => a.span.start.line - b.span.start.line)
}

/** The text of the error that `error=true` makes of findings. */
export function violation(found: readonly Finding[]): string {
  return `lint violation found for rules: ${[...new Set(found.map(({ rule }) => rule))].join(', ')}`
}
