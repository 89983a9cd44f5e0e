import type { ProcessSettings } from '../values/process-settings.ts'

/**
 * Running one process in a root file system. Policy (which capabilities, mounts, files) is computed by `plan.ts` from an ExecSpec as plain data;
 * the embedded runner, or an OCI runtime, carries it out. A non-zero exit is a value, a sandbox that cannot be set up is an error (SANDBOX_SETUP).
 */
export interface ExecSpec {
  readonly rootfs: {
    readonly lower: readonly string[]
    readonly upper: string
    readonly work: string
    /** A copy of `lower` that the command works on, instead of an overlay of `lower` and `upper`. */
    readonly directory?: string
  }
  readonly args: readonly string[]
  readonly env: readonly string[]
  /** Absolute; created 0755 and owned by the user when missing (W4). */
  readonly cwd: string
  /** The image's USER, unresolved: the sandbox looks it up in the root's passwd and group (W14–W18). */
  readonly user: string
  readonly hostname: string
  readonly network: 'default' | 'none' | 'host'
  readonly security: 'sandbox' | 'insecure'
  readonly mounts: readonly ExecMount[]
  readonly settings: ProcessSettings
}

/** Sorted by the sandbox so that parents precede children (M13). Targets are absolute, in-root. */
export type ExecMount =
  /** `directories` are layer fs directories or one directory, bottom first; `path` is resolved inside their union. `writable` writes go to a throw-away upper. */
  | {
      readonly type: 'bind'
      readonly target: string
      readonly directories: readonly string[]
      readonly path: string
      readonly writable: boolean
    }
  /** A directory of the store, writable in place. */
  | { readonly type: 'cache'; readonly target: string; readonly directory: string; readonly path: string; readonly writable: boolean }
  /** Has the mode of the directory that it covers, 1777 where there was none. */
  | { readonly type: 'tmpfs'; readonly target: string; readonly size?: number; readonly readonly?: boolean }
  | {
      readonly type: 'file'
      readonly target: string
      readonly data: Uint8Array
      readonly mode: number
      readonly uid: number
      readonly gid: number
    }
  /** Connections to `target` are passed on to a listening socket of the host; `mode`, `uid` and `gid` are those of `target`. */
  | {
      readonly type: 'socket'
      readonly target: string
      readonly socket: string
      readonly mode: number
      readonly uid: number
      readonly gid: number
    }

/** A promise that one returns is waited for: the command's pipes fill, and it waits. */
/** `chroot`: no namespaces and no mounts; the root is `rootfs.directory`, in which everything is that the command sees. */
export type Isolation = 'namespaces' | 'chroot'

export interface ExecIo {
  stdout(data: Uint8Array): unknown
  stderr(data: Uint8Array): unknown
}

export interface ExitStatus {
  /** 128 + n when killed by a signal. */
  readonly code: number
  readonly signal?: string
  readonly oomKilled: boolean
}

export interface Sandbox {
  /**
   * After it returned, no process of the command is left and `upper` holds the command's changes and no mount stubs (M14), but for /dev, /proc and /sys: where the
   * image lacks them they stay as empty directories, as BuildKit leaves them (measured with Docker 28.5).
   */
  exec(spec: ExecSpec, io: ExecIo, signal?: AbortSignal): Promise<ExitStatus>
}
