import type { Digest } from '../base/digest.ts'
import type { Instruction } from '../dockerfile/instruction.ts'
import type { Linter } from '../dockerfile/lint/linter.ts'
import type { Ignored } from '../dockerfile/lint/stage-checks.ts'
import type { ImageConfigFile } from '../values/oci.ts'
import type { Platform } from '../values/platform.ts'
import type { ProcessSettings } from '../values/process-settings.ts'
import type { BuildArgValues } from './build-args.ts'
import type { GitOp, HttpOp } from './op.ts'

/** What lowering needs of an image: its config decides ENV, ONBUILD and so on of the stage. */
export interface BaseImage {
  /** To show: docker.io/library/debian:bookworm@sha256:… */
  readonly name: string
  readonly digest: Digest
  /** What the name resolved to: an index, where there is one. */
  readonly resolved?: Digest
  readonly platform: Platform
  readonly configFile: ImageConfigFile
}

/** Finds an image for a FROM or COPY --from; the reference is as written, or a named context's. */
export type ResolveImage = (reference: string, platform: Platform) => Promise<BaseImage>

interface NamedFiles {
  readonly kind: 'files'
  readonly name: string
  /** Of a URL. */
  readonly isRemote?: boolean
}

/** `--build-context name=…` (G13): an image in place of a stage or base, files, or nothing (docker-image://scratch). */
export type NamedContext = { readonly kind: 'image'; readonly reference: string } | NamedFiles | { readonly kind: 'scratch' }

/** What a FROM names, decided from the text alone. */
export type BaseChoice =
  | { readonly kind: 'scratch'; readonly platform: Platform; readonly replacesStage?: boolean }
  | { readonly kind: 'stage'; readonly index: number }
  | {
      readonly kind: 'image'
      readonly reference: string
      readonly platform: Platform
      readonly replacesStage: boolean
    }
  | FilesChoice

export interface FilesChoice extends NamedFiles {
  readonly platform: Platform
  readonly replacesStage: boolean
}

/** Where the image is to run, and where it is built. */
export interface BuildPlatforms {
  readonly target: Platform
  /** The caller named it: the image says that it is for that platform, whatever its base is for (I11). */
  readonly isTargetGiven: boolean
  readonly build: Platform
}

/** Which steps run, whatever is known of them. */
interface NoCache {
  readonly all: boolean
  /** Names of stages, or numbers of those without a name. */
  readonly stages: readonly string[]
}

/** What every RUN has from the caller; a Dockerfile may ask for another network. */
interface RunOptions {
  readonly network: 'default' | 'none' | 'host'
  readonly settings: ProcessSettings
}

/** What vertices are called, besides by their instructions. */
interface StepNaming {
  /** Of the vertices' ids, when a build has several graphs. */
  readonly idPrefix: string | undefined
  /** Tells builds of one Dockerfile from those of another when the nearest record is looked for. */
  readonly identity: string
}

/** What FROM, COPY --from and --mount=from name that is no stage. */
export interface FromDeps {
  readonly resolveImage: ResolveImage
  readonly namedContext: (name: string) => NamedContext | undefined
  /** Parses an image's ONBUILD trigger. */
  readonly parseTrigger: (expression: string, image: string) => Instruction
}

/** Times that SOURCE_DATE_EPOCH may name, seconds. */
interface TimeDeps {
  /** Of a remote build context: `SOURCE_DATE_EPOCH=context`. */
  readonly contextTime: () => Promise<number | undefined>
  /** Of a remote source: its commit's, or Last-Modified, or that of an archive's newest file. */
  readonly timeOf: (source: NamedFiles | GitOp | HttpOp) => Promise<number | undefined>
}

export interface CheckDeps {
  /** Finds what is allowed and probably wrong. */
  readonly linter: Linter
  /** What the ignore file of the build context leaves out. */
  readonly ignored: Ignored | undefined
  /** What is wrong with that file. */
  readonly ignoreProblem: Error | undefined
}

/** Of all this a part of the lowering takes what it names: `Pick<LowerOptions, …>`. */
export interface LowerOptions {
  readonly platforms: BuildPlatforms
  /** The stage to build; default: the last. */
  readonly target: string | undefined
  /** Of the target's image, added last. */
  readonly labels: Readonly<Record<string, string>>
  readonly buildArgs: BuildArgValues
  readonly noCache: NoCache
  readonly run: RunOptions
  readonly naming: StepNaming
  readonly from: FromDeps
  readonly times: TimeDeps
  readonly checks: CheckDeps
}
