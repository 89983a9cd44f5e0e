import type { Digest } from './base/digest.ts'
import type { OnEvent } from './base/events.ts'
import type { ImageRecord } from './store/types.ts'
import type { Limits } from './values/limits.ts'
import type { ContainerConfig } from './values/oci.ts'
import type { Platform } from './values/platform.ts'
import type { ProcessSettings } from './values/process-settings.ts'

/** What to build and where to. */
export interface BuildOptions extends Partial<ProcessSettings> {
  /** A directory, `-` (a tar, or a Dockerfile, on `stdin`), or a URL. */
  readonly context: string
  /** `-f`: a path, or `-` for stdin. Default: Dockerfile in the context, else dockerfile (D10). */
  readonly file?: string
  /** What `-` reads. */
  readonly stdin?: AsyncIterable<Uint8Array>
  /** `-t`: names in the store, and of outputs without a name of their own. */
  readonly tags?: readonly string[]
  /** The stage to build, by its name; default: the last. */
  readonly target?: string
  /** A value of undefined takes the variable from `environment` (A10). */
  readonly buildArgs?: Readonly<Record<string, string | undefined>>
  /** Added last, to the target only (A16). */
  readonly labels?: Readonly<Record<string, string>>
  /** One image each; default: the host's. */
  readonly platforms?: readonly Platform[]
  /** Every step runs, whatever the store knows. */
  readonly noCache?: boolean
  /** The same for the stages of these names (or numbers, for those without a name). */
  readonly noCacheFilter?: readonly string[]
  /** Cache mounts begin empty in this build; `noCache` keeps them. */
  readonly resetCacheMounts?: boolean
  /** Whose a new cache mount without uid and gid is: root's, as BuildKit's, or that of the user of the RUN. */
  readonly cacheMountOwner?: 'root' | 'user'
  /** Tells of each step by an `explain` event whether and why it runs. */
  readonly explain?: boolean
  /** Context files count and are copied as git keeps them: 0644 or 0755. Default: `normalizeModes` of the context's .tbuild.json, else false. */
  readonly normalizeModes?: boolean
  /** Ask the registry even when the store has the tag. */
  readonly pull?: boolean
  /** Network of RUN steps without their own flag. */
  readonly network?: 'default' | 'none' | 'host'
  /** What a Dockerfile may ask for that weakens the sandbox, and what ONBUILD triggers of base images may ask for. */
  readonly allow?: readonly Entitlement[]
  /** `chroot`: RUN steps without namespaces and mounts, for machines that allow none; it protects from little (docs/sandbox.md). */
  readonly isolation?: 'chroot'
  /** For RUN --mount=type=secret: read when a RUN asks, kept nowhere. `env` names a variable of `environment`. */
  readonly secrets?: readonly { readonly id: string; readonly source: { readonly file: string } | { readonly env: string } }[]
  /** For RUN --mount=type=ssh and git: the socket of an agent, or files of private keys without passphrase; none is the agent of SSH_AUTH_SOCK. */
  readonly ssh?: readonly { readonly id: string; readonly paths: readonly string[] }[]
  /** `--build-context name=value`: a directory, `docker-image://REF`, `oci-layout://DIR` or a URL; or the target of another build that is open on the same store. */
  readonly buildContexts?: Readonly<Record<string, string | BuildTarget>>
  /** Of every output that holds an image; they win over the output's own. */
  readonly annotations?: readonly Annotation[]
  readonly outputs?: readonly OutputSpec[]
  /** `--cache-from`: asked in order for what the store does not have. */
  readonly cacheFrom?: readonly CacheImportSpec[]
  /** `--cache-to`. */
  readonly cacheTo?: readonly CacheExportSpec[]
  /** Bytes that others may make this machine take in; `Number.MAX_SAFE_INTEGER` is no limit. Default: 64 GiB each. */
  readonly limits?: Partial<Limits>
  /** Steps at once; default: 16, or four for each processor where that is more, and up to 256 while the processors are idle and memory is free. */
  readonly jobs?: number
  /** The store; default: TBUILD_ROOT, /var/lib/tbuild for root, $XDG_DATA_HOME/tbuild. */
  readonly root?: string
  /** The caller's: for defaults, `--build-arg NAME`, logins, proxies and certificates; process.env when absent. */
  readonly environment?: Readonly<Record<string, string | undefined>>
  /** What all paths of the options are relative to; default: the process's. */
  readonly workingDirectory?: string
}

export const ENTITLEMENTS = ['network.host', 'security.insecure', 'onbuild.secrets', 'onbuild.ssh'] as const
export type Entitlement = (typeof ENTITLEMENTS)[number]

/** The options as the engine reads them: every build argument has a value. What only the caller can answer is asked of it (`src/caller`). */
export interface ResolvedOptions extends Omit<BuildOptions, 'root' | 'environment' | 'workingDirectory' | 'stdin' | 'secrets' | 'ssh'> {
  readonly buildArgs: Readonly<Record<string, string>>
  /** Ids of secrets that the caller says it has: that one of them is withheld from a trigger is told. */
  readonly secrets: readonly string[]
  /** Ids of agents that the caller is to have: what is wrong with them is said before anything is built. */
  readonly agents: readonly string[]
}

/** `-o type=…`. `dest` `-` writes to `stdout` of the BuildHooks. Without outputs the image goes to the store only. */
export type OutputSpec =
  | (ImageOutput & { readonly type: 'oci'; readonly dest: string; readonly tar: boolean })
  | (ImageOutput & {
      readonly type: 'docker'
      /** Without, the image is loaded into docker: by `docker load`, of the `docker` in PATH. */
      readonly dest?: string
      /** `docker --context`, for loading. */
      readonly context?: string
    })
  | (ImageOutput & {
      readonly type: 'image'
      readonly push: boolean
      /** Push without a tag: `name` is a repository. */
      readonly pushByDigest?: boolean
      /** The registry is asked with TLS that is not verified, then without TLS. */
      readonly insecure?: boolean
    })
  | (Timed & {
      readonly type: 'local' | 'tar'
      readonly dest: string
      /** A folder a platform (`linux_amd64/`); default: when there are several. */
      readonly platformSplit?: boolean
    })
  | { readonly type: 'cacheonly' }

/** Where an earlier build put its cache; `registry` is also an image with an inline cache. */
export type CacheImportSpec =
  | { readonly type: 'local'; readonly src: string /** Default: latest. */; readonly tag?: string; readonly digest?: Digest }
  | { readonly type: 'registry'; readonly ref: string; readonly insecure?: boolean }

/** Where this build puts its cache; `inline` is into the config of the image. */
export type CacheExportSpec =
  | (CacheExportMode & { readonly type: 'local'; readonly dest: string /** Default: latest. */; readonly tag?: string })
  | (CacheExportMode & { readonly type: 'registry'; readonly ref: string; readonly insecure?: boolean })
  | { readonly type: 'inline' }

export interface CacheExportMode {
  /** Whose files are carried: of the target's own steps (min, the default), or of all steps. */
  readonly mode?: 'min' | 'max'
  /** A failure is a warning. */
  readonly ignoreError?: boolean
  /** False: a list of layers instead of an image manifest, as older BuildKits wrote it. */
  readonly imageManifest?: boolean
  /** False: Docker's media types, which only the list can have. */
  readonly ociMediaTypes?: boolean
  readonly compression?: 'gzip' | 'uncompressed' | 'zstd'
  readonly compressionLevel?: number
  readonly forceCompression?: boolean
}

/** Of outputs whose files or documents have times. */
export interface Timed {
  /** `source-date-epoch`, seconds: instead of SOURCE_DATE_EPOCH of the build; null is none. */
  readonly epoch?: number | null
}

/** What outputs that hold an image have in common. */
export interface ImageOutput extends Timed {
  /** Comma-separated, instead of the tags. */
  readonly name?: string
  /** False: Docker's media types. */
  readonly ociMediaTypes?: boolean
  readonly compression?: 'gzip' | 'uncompressed' | 'zstd'
  /** 0 to 9 for gzip, 0 to 22 for zstd. */
  readonly compressionLevel?: number
  /** Layers of the base image are compressed anew, too, where they have another form. */
  readonly forceCompression?: boolean
  readonly annotations?: readonly Annotation[]
  /** Files of new layers that are later than the epoch get its time (L9). */
  readonly rewriteTimestamp?: boolean
}

export type AnnotationLevel = 'manifest' | 'manifest-descriptor' | 'index' | 'index-descriptor'

/** An annotation of OCI documents; without `platform` for all of them. */
export interface Annotation {
  readonly level: AnnotationLevel
  readonly platform?: Platform
  readonly key: string
  readonly value: string
}

/** How a build speaks with its caller while it runs. */
export interface BuildHooks {
  /**
   * Called at once and in order; it must not throw. When it returns a promise, a step that prints waits for it, and so does a transfer: whoever passes events on
   * returns one while the reader is behind, and nothing piles up. Other events come meanwhile. The promise must not reject.
   */
  readonly onEvent?: OnEvent
  /** Ends the build and all its processes: CANCELED. */
  readonly signal?: AbortSignal
  /** Receives an output with dest `-`. */
  readonly stdout?: (data: Uint8Array) => Promise<void>
}

/** What an open build makes for one platform. As a context of another build it is an image: a base, or what COPY takes files from. */
export interface BuildTarget {
  readonly platform: Platform
  /** The name of its stage, or its number. */
  readonly stage: string
  /** The image's, as the instructions fold it. */
  readonly config: ContainerConfig
  /** For the other build. Evaluates it; what it consists of stays in the store until its build is closed. Errors: BUILD_CLOSED, and those of evaluating. */
  image(): Promise<TargetImage>
}

/** Bottom first; the store has each layer, or its blob. */
export interface TargetImage {
  readonly config: Uint8Array
  readonly configDigest: Digest
  readonly layers: ImageRecord['layers']
}

/** What a build made. */
export interface BuildResult {
  readonly images: readonly {
    readonly platform: Platform
    /** The image's id, as `--iidfile` gets it. */
    readonly configDigest: Digest
    /** Of the manifest, when an output made one. */
    readonly manifestDigest?: Digest
  }[]
  readonly tags: readonly string[]
  /** Contents of `--iidfile`: the image's id, or the index's digest when an output made one. */
  readonly iid: string
  /** Contents of `--metadata-file`. */
  readonly metadata: Readonly<Record<string, unknown>>
  readonly steps: { readonly total: number; readonly cached: number }
}
