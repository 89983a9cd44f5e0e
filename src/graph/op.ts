import type { Digest } from '../base/digest.ts'
import type { Login } from '../base/mask-url.ts'
import type { Span } from '../base/span.ts'
import type { RunMount } from '../dockerfile/mount.ts'
import type { Platform } from '../values/platform.ts'
import type { ProcessSettings } from '../values/process-settings.ts'

/**
 * The build graph. An op is plain data: it prints, hashes and compares by itself, and names its inputs by position in the vertex's `inputs`.
 *
 *   vertex     one op with its inputs; has exactly one output
 *   op         what to do (this file); how it is keyed and run is in src/ops, one file a kind
 *   root       the input whose file system the op changes; undefined is scratch
 *   source     an input that is only read: keyed by its content, never by how it was made
 */
export type Op = ImageOp | ContextOp | HttpOp | GitOp | ExecOp | CopyOp | WorkdirOp

/** A base image, already resolved to a platform's manifest. */
export interface ImageOp {
  readonly kind: 'image'
  readonly name: string
  readonly platform: Platform
  /** Of the platform's manifest. */
  readonly digest: Digest
  /** What the name resolved to: an index, where there is one. */
  readonly resolved?: Digest
}

/** Files of the caller: the build context (`name` is 'context') or a named one. */
export interface ContextOp {
  readonly kind: 'context'
  readonly name: string
}

/** ADD of a URL: a tree with the one file. */
export interface HttpOp {
  readonly kind: 'http'
  /** Without its login. */
  readonly url: string
  readonly login?: Login
  readonly checksum?: Digest
  /** The file's name in the tree. */
  readonly filename: string
  /** The trigger of this image asks for it. */
  readonly triggerOf?: string
}

/** A git repository: a tree with its checkout. */
export interface GitOp {
  readonly kind: 'git'
  /** Without its login. */
  readonly remote: string
  readonly login?: Login
  /** The remote's default branch without. */
  readonly ref?: string
  readonly subdir?: string
  /** The commit, or its first digits. */
  readonly checksum?: string
  readonly keepGitDir: boolean
  readonly submodules: boolean
  readonly mtime?: 'checkout' | 'commit'
  /** The trigger of this image asks for it. */
  readonly triggerOf?: string
}

export interface ExecOp {
  readonly kind: 'exec'
  readonly args: readonly string[]
  /** NAME=value in order, without proxy variables. */
  readonly env: readonly string[]
  /** Those of `env` that ARGs set: only for explaining. */
  readonly argNames?: readonly string[]
  /** Given to the command, never part of the key or history (A8). */
  readonly proxyEnv: readonly string[]
  readonly cwd: string
  readonly user: string
  readonly hostname: string
  readonly network: 'default' | 'none' | 'host'
  readonly security: 'sandbox' | 'insecure'
  readonly mounts: readonly ExecOpMount[]
  /** A heredoc that begins with #!, shown to the command as a file (H9). */
  readonly script?: { readonly path: string; readonly text: string }
  readonly settings: ProcessSettings
  readonly platform: Platform
}

/** A RUN --mount with an absolute target; `input` is the position of the source vertex, undefined for scratch or none. */
export type ExecOpMount = RunMount & {
  readonly input?: number
  /** BUILDKIT_CACHE_MOUNT_NS and id (M4). */
  readonly cacheId?: string
  /** The target where it is not a clean path: BuildKit's cache keys have it so. */
  readonly written?: string
  /** Of a secret or an agent that the trigger of this image asks for. */
  readonly triggerOf?: string
}

/** COPY and ADD (solver/pb/ops.proto FileActionCopy). */
export interface CopyOp {
  readonly kind: 'copy'
  readonly sources: readonly CopyOpSource[]
  /** Absolute; a trailing slash says directory. */
  readonly destination: string
  /** The destination where `/.` was written at its end: BuildKit's cache keys have it so. */
  readonly written?: string
  /** `user[:group]`, expanded, unresolved. */
  readonly chown?: string
  readonly chmod?: string
  readonly link: boolean
  readonly parents: boolean
  /** A part of a context that is mounted: paths are taken as they are written, with what symlinks on the way lead to. */
  readonly mirror?: boolean
  readonly exclude: readonly string[]
  readonly createdTime?: number
}

export type CopyOpSource =
  /** `input` -1 is a stage without files. */
  | { readonly kind: 'path'; readonly input: number; readonly path: string; readonly unpack: 'auto' | boolean }
  /** A heredoc. */
  | { readonly kind: 'content'; readonly name: string; readonly text: string }

/** WORKDIR: makes the directory when it is missing (W2). */
export interface WorkdirOp {
  readonly kind: 'workdir'
  readonly path: string
  readonly user: string
  readonly createdTime?: number
}

export interface Vertex {
  /** Position in the graph's order, as text: unique in one build. */
  readonly id: string
  readonly op: Op
  /** The file system that the op changes; undefined is scratch. Sources (image, context, http, git) have none. */
  readonly root: Vertex | undefined
  readonly inputs: readonly Vertex[]
  /** `[build 2/5] RUN npm ci` */
  readonly name: string
  readonly stage?: string
  readonly span?: Span
  /** The same step of the same Dockerfile in another build has the same: where explain looks for the nearest record. */
  readonly step: string
  /** What BuildKit calls the layer where the image's history has no entry for it (I8). */
  readonly description?: string
  readonly noCache: boolean
  /** What lowering made to mount files of a context, or to build on them: the vertex whose files it holds as a root, null for no files. */
  readonly copyOf?: Vertex | null
}
