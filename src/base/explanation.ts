/**
 * What `explain` says of one step. Values are shown as they are in the cache key; `undefined` on either side of a change means that there was none.
 *
 *   hit      taken from the cache. `sameFiles`: its inputs changed, but what lies below it has the same files as in an earlier build
 *   miss     runs, and why
 *   unknown  only of a dry run: its key depends on what other steps (ids of vertices) would make
 */
export type Verdict =
  | { readonly state: 'hit'; readonly sameFiles: boolean }
  | { readonly state: 'miss'; readonly cause: MissCause }
  | { readonly state: 'unknown'; readonly waitsFor: readonly string[] }

export type MissCause =
  /** No earlier record of this step. */
  | { readonly reason: 'first' }
  /** `--no-cache` or `--no-cache-filter`. */
  | { readonly reason: 'no-cache' }
  /** Nothing changed, but the layers of the record are gone. */
  | { readonly reason: 'lost' }
  /** Against the earlier record with the fewest differences, of the time `since` (ISO). */
  | { readonly reason: 'changed'; readonly since: string; readonly changes: readonly Change[] }

export type Change =
  /** A step below ran, or was another one. `id` is the vertex where it began. */
  | { readonly type: 'step'; readonly id: string; readonly name: string }
  | { readonly type: 'base'; readonly name: string; readonly from: string | undefined; readonly to: string | undefined }
  /** Files of a COPY, ADD or bind mount; `origin` is where they come from. `more` were left out of the list. Without a list it is not known which. */
  | { readonly type: 'files'; readonly origin: string; readonly files: readonly FileChange[] | undefined; readonly more: number }
  /** A variable of a RUN. `secret`: the name looks secret and the values are hidden. `used`: the command's text mentions it. */
  | {
      readonly type: 'variable'
      readonly kind: 'ARG' | 'ENV' | 'variable'
      readonly name: string
      readonly from: string | undefined
      readonly to: string | undefined
      readonly secret: boolean
      readonly used: boolean
    }
  | { readonly type: 'command'; readonly from: string; readonly to: string }
  /** Any other part of the key: a flag, the user, the working directory … */
  | { readonly type: 'part'; readonly name: string; readonly from: string | undefined; readonly to: string | undefined }

export interface FileChange {
  readonly path: string
  /** `mode` and `owner` only when the content is the same. */
  readonly change: 'added' | 'removed' | 'content' | 'mode' | 'owner' | 'type'
  readonly from?: string
  readonly to?: string
}
