import { TbuildError } from '../../base/errors.ts'
import { maskUrls } from '../../base/mask-url.ts'
import type { Span } from '../../base/span.ts'
import type { InstructionBase } from '../instruction.ts'
import { directiveValue, isEnabled, parseCheckConfig, withComments } from './config.ts'
import { RULES, type RuleName, ruleUrl } from './rules.ts'

/** One warning, with BuildKit's texts. */
export interface Finding {
  readonly rule: RuleName
  /** What is wrong here. */
  readonly message: string
  /** What the rule says. */
  readonly description: string
  readonly url: string | undefined
  /** The whole instruction. */
  readonly span: Span
}

/** Where a finding is and what the comments there switch off. */
export type Place = Pick<InstructionBase, 'span' | 'comments'>

/** The place of a finding that only the file's own `# check=` switches off: BuildKit finds it before it looks at an instruction by itself. */
export function inFile({ span }: Pick<InstructionBase, 'span'>): Place {
  return { span, comments: [] }
}

export type Report = (rule: RuleName, place: Place, message: string) => void

/** Collects the findings of one build. The checks themselves are called by whoever knows what they need: lowering, for the most part. */
export class Linter {
  /** Finds nothing. */
  static readonly off: Linter = new Linter('skip=all')
  readonly #config: ReturnType<typeof parseCheckConfig>
  readonly #text: Finding[] = []
  readonly #images: Finding[] = []
  readonly #stages: Finding[][] = []
  /** What the text alone decides, and FROM. */
  readonly text: Report = this.#into(this.#text)
  /** Base images as they were found. */
  readonly images: Report = this.#into(this.#images)

  /** `check` is what `# check=` says, or what `what` names. Throws CHECK_INVALID. */
  constructor(check?: string, what?: string) {
    this.#config = parseCheckConfig(check, what)
  }

  /** `override` is the build argument BUILDKIT_DOCKERFILE_CHECK, instead of what the file says. */
  static of(directives: { readonly check?: string }, override: string | undefined): Linter {
    if (override === undefined) return new Linter(directives.check === undefined ? undefined : directiveValue(directives.check))
    return new Linter(override, 'build-arg:BUILDKIT_DOCKERFILE_CHECK')
  }

  /** What the instructions of a stage do. Stages are lowered in any order, and reported in that of the file. */
  stage(index: number): Report {
    const found: Finding[] = []
    this.#stages[index] = found
    return this.#into(found)
  }

  /** In BuildKit's order: by phase, then by line. */
  findings(): Finding[] {
    return [...this.#text, ...this.#images, ...this.#stages.flat()]
  }

  /** With `error=true`, once there are findings: CHECK_FAILED. */
  get violation(): TbuildError | undefined {
    const rules = new Set(this.findings().map(({ rule }) => rule))
    if (!this.#config.error || rules.size === 0) return undefined
    return new TbuildError('CHECK_FAILED', `lint violation found for rules: ${[...rules].join(', ')}`, {
      hint: 'the Dockerfile says error=true in # check=; tbuild --check shows where',
    })
  }

  #into(found: Finding[]): Report {
    return (rule, { span, comments }, message) => {
      if (!isEnabled(comments.length === 0 ? this.#config : withComments(this.#config, comments), rule)) return
      found.push({ rule, message: maskUrls(message), description: RULES[rule], url: ruleUrl(rule), span })
    }
  }
}

/** The lines that a finding is about, first and last. */
export function linesOf({ start, end }: Span): { readonly first: number; readonly last: number } {
  return { first: start.line, last: end.column === 1 && end.line > start.line ? end.line - 1 : end.line }
}
