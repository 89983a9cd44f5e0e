/** One RUN --mount, checked and with its defaults (features.md 1.2). `parseMount` lives here. */
export type RunMount = BindMount | CacheMount | TmpfsMount | SecretMount | SshMount

interface MountBase {
  /** As written or defaulted; relative targets are joined with WORKDIR later (M3). */
  readonly target: string
}
export interface BindMount extends MountBase {
  readonly type: 'bind'
  readonly from?: string
  readonly source: string
  readonly readonly: boolean
}
export interface CacheMount extends MountBase {
  readonly type: 'cache'
  readonly id?: string
  readonly from?: string
  readonly source?: string
  readonly sharing: 'shared' | 'private' | 'locked'
  readonly readonly: boolean
  readonly mode?: number
  readonly uid?: number
  readonly gid?: number
}
export interface TmpfsMount extends MountBase {
  readonly type: 'tmpfs'
  /** Bytes; undefined is the kernel's default. */
  readonly size?: number
}
export interface SecretMount extends Omit<MountBase, 'target'> {
  readonly type: 'secret'
  readonly id: string
  /** undefined: env only. */
  readonly target?: string
  readonly env?: string
  readonly required: boolean
  readonly mode: number
  readonly uid: number
  readonly gid: number
}
export interface SshMount extends Omit<MountBase, 'target'> {
  readonly type: 'ssh'
  readonly id: string
  /** undefined: /run/buildkit/ssh_agent.N */
  readonly target?: string
  readonly required: boolean
  readonly mode: number
  readonly uid: number
  readonly gid: number
}
