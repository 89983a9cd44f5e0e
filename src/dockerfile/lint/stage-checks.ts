import { isTbuildError } from '../../base/errors.ts'
import { suggestion } from '../../base/suggest.ts'
import { cleanPath } from '../../go/path.ts'
import { goQuote } from '../../go/quote.ts'
import { describePort } from '../../values/ports.ts'
import { looksSecret } from '../../values/secret-name.ts'
import type { ArgInstruction, CopyInstruction, EnvInstruction, Instruction, WorkdirInstruction } from '../instruction.ts'
import type { Place, Report } from './linter.ts'

/** What the context's ignore file leaves out. */
export interface Ignored {
  readonly hasExclusions: boolean
  /** Whether a pattern matches every entry of the root, whatever its name. */
  readonly coversRoot: boolean
  matches(path: string): boolean
}

/** A pattern that cannot be compiled is an error of what reads the context, as with BuildKit, and not of its check. */
function isIgnored(ignored: Ignored, path: string): boolean {
  try {
    return ignored.matches(path)
  } catch (error) {
    if (isTbuildError(error)) return false
    throw error
  }
}

type Once = 'cmd' | 'entrypoint' | 'healthcheck'

/** Variables that no instruction sees, so that using them says nothing. */
const SILENT = new Set(['BUILDKIT_SBOM_SCAN_CONTEXT', 'BUILDKIT_SBOM_SCAN_STAGE'])

/** Checks of one stage's instructions, called while they are lowered: what stands in them is expanded then. */
export class StageChecks {
  readonly #report: Report
  readonly #latest: Partial<Record<Once, Place>> = {}
  #hasWorkdir: boolean

  /** `parent` is the stage that this one is FROM. */
  constructor(report: Report, parent?: StageChecks) {
    this.#report = report
    this.#hasWorkdir = parent ? parent.#hasWorkdir : false
  }

  /** A word of an instruction used `unmatched`, which neither an ENV nor an ARG before it names. */
  undefinedVariables(place: Place, unmatched: Iterable<string>, declared: (name: string) => boolean, known: () => Iterable<string>): void {
    for (const name of unmatched) {
      if (declared(name) || SILENT.has(name)) continue
      const near = suggestion(name, known(), { caseSensitive: true })
      const message = `Usage of undefined variable '$${name}'${near === undefined ? '' : ` (did you mean $${near}?)`}`
      this.#report('UndefinedVar', place, message)
    }
  }

  /** What needs nothing but the instruction, and whether the stage has a SHELL. */
  instruction(instruction: Instruction, hasShell: boolean): void {
    switch (instruction.kind) {
      case 'label':
        // Each of them is `LABEL key value` alone.
        if (instruction.legacy) this.#legacy(instruction)
        break
      case 'arg':
        this.#secrets(
          instruction,
          'ARG',
          instruction.args.map(({ name }) => name),
        )
        break
      case 'healthcheck':
        this.#once(instruction, 'healthcheck')
        break
      case 'cmd':
      case 'entrypoint':
        this.#once(instruction, instruction.kind)
        if (instruction.command.form === 'shell' && !hasShell) this.#shellForm(instruction)
    }
  }

  /** `keys` are expanded. */
  env(instruction: EnvInstruction, keys: readonly string[]): void {
    if (instruction.legacy) this.#legacy(instruction)
    this.#secrets(instruction, 'ENV', keys)
  }

  /** An absolute directory of the base image does not count: it may change. */
  workdir(instruction: WorkdirInstruction, path: string, isAbsolute: boolean): void {
    if (!this.#hasWorkdir && !isAbsolute) {
      const message = `Relative workdir ${goQuote(path)} can have unexpected results if the base image changes`
      this.#report('WorkdirRelativePath', instruction, message)
    }
    this.#hasWorkdir = true
  }

  /** Expanded words of an EXPOSE. */
  expose(instruction: Instruction, words: readonly string[]): void {
    for (const word of words) {
      const port = describePort(word)
      // Building says why; BuildKit does not look at what follows.
      if (port === undefined) return
      if (port.protocol !== port.protocol.toLowerCase()) {
        this.#report('ExposeProtoCasing', instruction, `Defined protocol '${word}' in EXPOSE instruction should be lowercase`)
      }
      if (port.isMapped) {
        const message = `EXPOSE instruction should not define an IP address or host-port mapping, found '${word}'`
        this.#report('ExposeInvalidFormat', instruction, message)
      }
      if (!port.isValid) return
    }
  }

  /** Paths of the build context. With exceptions in the ignore file nobody can tell. */
  copy(instruction: CopyInstruction, paths: readonly string[], ignored: Ignored | undefined): void {
    if (ignored === undefined || ignored.hasExclusions) return
    const verb = instruction.kind === 'copy' ? 'Copy' : 'Add'
    for (const path of paths.map(cleanPath)) {
      // The root is no entry: what matches `.`, as `.*` does, need not match what is in it.
      if (/^[./]$/.test(path) ? !ignored.coversRoot : !isIgnored(ignored, path)) continue
      this.#report('CopyIgnoredFile', instruction, `Attempting to ${verb} file ${goQuote(path)} that is excluded by .dockerignore`)
    }
  }

  /** Named as written, `Label key=value`. */
  #legacy(instruction: Instruction): void {
    const { keyword } = instruction
    const message = `"${keyword} key=value" should be used instead of legacy "${keyword} key value" format`
    this.#report('LegacyKeyValueFormat', instruction, message)
  }

  #secrets(instruction: ArgInstruction | EnvInstruction, kind: string, names: readonly string[]): void {
    for (const name of names.filter(looksSecret)) {
      const message = `Do not use ARG or ENV instructions for sensitive data (${kind} ${goQuote(name)})`
      this.#report('SecretsUsedInArgOrEnv', instruction, message)
    }
  }

  /** The one before is what has no effect. */
  #once(instruction: Instruction, kind: Once): void {
    const before = this.#latest[kind]
    if (before !== undefined) {
      const message = `Multiple ${instruction.keyword} instructions should not be used in the same stage because only the last one will be used`
      this.#report('MultipleInstructionsDisallowed', { span: before.span, comments: instruction.comments }, message)
    }
    this.#latest[kind] = instruction
  }

  #shellForm(instruction: Instruction): void {
    const message = `JSON arguments recommended for ${instruction.keyword} to prevent unintended behavior related to OS signals`
    this.#report('JSONArgsRecommended', instruction, message)
  }
}
