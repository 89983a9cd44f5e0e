import type { Span } from '../base/span.ts'

/**
 * A Dockerfile as typed instructions: what the grammar produces and everything later reads. Words are *unexpanded*: quotes, escapes and `$` stand as
 * written. `word.ts` expands them when the environment is known.
 */
export interface Dockerfile {
  readonly directives: Directives
  readonly instructions: readonly Instruction[]
}

export interface Directives {
  readonly syntax?: string
  /** `\` unless `# escape=` says backtick. */
  readonly escape: '\\' | '`'
  /** The raw value of `# check=`. */
  readonly check?: string
}

/** Text with its place. */
export interface Word {
  readonly text: string
  readonly span: Span
}

/** A flag after an instruction, quotes and escapes removed: `--from=x`; `value` is undefined for a bare `--link`. */
export interface Flag {
  readonly name: string
  readonly value: string | undefined
  readonly span: Span
}

export interface InstructionBase {
  /** From the instruction's name to its last character, heredoc bodies and terminators included. */
  readonly span: Span
  /** The name as written, for casing checks. */
  readonly keyword: string
  /** The logical line after continuations were joined, heredocs attached: what ONBUILD stores and what an error shows. */
  readonly source: string
  /** The comment lines directly above, without `#` and one blank. */
  readonly comments: readonly string[]
  /** The last line read for it, when there are blank lines among its continuations: for checks. */
  readonly emptyContinuation?: number
  /** Of an ONBUILD trigger that an image brings: the image. Its publisher wrote it, not the author of the Dockerfile. */
  readonly triggerOf?: string
}

/** `<<NAME`: a body that follows the instruction's line. */
export interface Heredoc {
  readonly name: string
  /** False when any part of the delimiter was quoted (H4). */
  readonly expand: boolean
  /** `<<-`: leading tabs are stripped; `content` is already without them. */
  readonly chomp: boolean
  /** The body, every line ending in \n. */
  readonly content: string
  /** The same as it stands in the file, tabs and all: what a shell gets that reads the heredoc itself (H10). */
  readonly raw: string
  /** The digits before `<<`, or ''. */
  readonly fd: string
  readonly span: Span
}

/** `shell` carries the rest of the line as one string; `exec` a JSON array of strings. */
export type CommandLine = { readonly form: 'shell'; readonly command: string } | { readonly form: 'exec'; readonly args: readonly string[] }

export interface KeyValue {
  readonly key: string
  readonly value: string
  readonly span: Span
}

export interface FromInstruction extends InstructionBase {
  readonly kind: 'from'
  readonly image: Word
  readonly platform?: Word
  /** Lower-cased (G1); `asKeyword` and `aliasWritten` keep what was written for checks. */
  readonly alias?: string
  readonly aliasWritten?: string
  readonly asKeyword?: string
}
export interface ArgInstruction extends InstructionBase {
  readonly kind: 'arg'
  readonly args: readonly { readonly name: string; readonly value?: string; readonly span: Span }[]
}
export interface EnvInstruction extends InstructionBase {
  readonly kind: 'env'
  readonly pairs: readonly KeyValue[]
  /** `ENV key value`. */
  readonly legacy: boolean
}
export interface LabelInstruction extends InstructionBase {
  readonly kind: 'label'
  readonly pairs: readonly KeyValue[]
  readonly legacy: boolean
}
export interface RunInstruction extends InstructionBase {
  readonly kind: 'run'
  readonly command: CommandLine
  readonly heredocs: readonly Heredoc[]
  /** Values of --mount in order, unexpanded CSV; `mount.ts` parses them. */
  readonly mounts: readonly Word[]
  readonly network?: Word
  readonly security?: Word
  readonly devices: readonly Word[]
  /** Its command, a heredoc or a mount has bytes that are no UTF-8. */
  readonly otherBytes?: true
}
/** COPY and ADD. */
export interface CopyInstruction extends InstructionBase {
  readonly kind: 'copy' | 'add'
  /** Paths, and for ADD URLs; heredoc words are not among them. */
  readonly sources: readonly Word[]
  readonly heredocs: readonly Heredoc[]
  readonly destination: Word
  readonly from?: Word
  readonly chown?: Word
  readonly chmod?: Word
  readonly link: boolean
  readonly parents: boolean
  readonly exclude: readonly Word[]
  /** ADD only. */
  readonly checksum?: Word
  readonly keepGitDir?: boolean
  readonly unpack?: boolean
}
export interface ExposeInstruction extends InstructionBase {
  readonly kind: 'expose'
  readonly ports: readonly Word[]
}
export interface VolumeInstruction extends InstructionBase {
  readonly kind: 'volume'
  readonly volumes: readonly Word[]
}
export interface UserInstruction extends InstructionBase {
  readonly kind: 'user'
  readonly user: Word
}
export interface WorkdirInstruction extends InstructionBase {
  readonly kind: 'workdir'
  readonly path: Word
}
export interface CmdInstruction extends InstructionBase {
  readonly kind: 'cmd' | 'entrypoint'
  readonly command: CommandLine
}
export interface ShellInstruction extends InstructionBase {
  readonly kind: 'shell'
  readonly shell: readonly string[]
}
export interface StopSignalInstruction extends InstructionBase {
  readonly kind: 'stopsignal'
  readonly signal: Word
}
/** Durations are nanoseconds; undefined means inherit. `test` undefined is HEALTHCHECK NONE. */
export interface HealthcheckInstruction extends InstructionBase {
  readonly kind: 'healthcheck'
  readonly test?: CommandLine
  readonly interval?: bigint
  readonly timeout?: bigint
  readonly startPeriod?: bigint
  readonly startInterval?: bigint
  readonly retries?: number
}
export interface OnbuildInstruction extends InstructionBase {
  readonly kind: 'onbuild'
  /** The original text minus ONBUILD, heredocs attached (O1). Parsed by `parseTrigger` where it runs: until then only its syntax is known to be right. */
  readonly expression: string
}
export interface MaintainerInstruction extends InstructionBase {
  readonly kind: 'maintainer'
  readonly name: Word
}

export type Instruction =
  | FromInstruction
  | ArgInstruction
  | EnvInstruction
  | LabelInstruction
  | RunInstruction
  | CopyInstruction
  | ExposeInstruction
  | VolumeInstruction
  | UserInstruction
  | WorkdirInstruction
  | CmdInstruction
  | ShellInstruction
  | StopSignalInstruction
  | HealthcheckInstruction
  | OnbuildInstruction
  | MaintainerInstruction

/** One FROM and what follows it (stages.ts). */
export interface Stage {
  readonly index: number
  readonly name?: string
  readonly from: FromInstruction
  readonly instructions: readonly Exclude<Instruction, FromInstruction>[]
  readonly span: Span
}

/** A parsed file split at its FROMs; `globals` are the ARGs before the first. */
export interface StagedDockerfile {
  readonly directives: Directives
  readonly globals: readonly ArgInstruction[]
  readonly stages: readonly Stage[]
}
