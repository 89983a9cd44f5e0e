import type { LayerId, LayerInfo, Snapshot } from '../store/types.ts'

/**
 * Layers as directories. A layer's `fs/` is in the form that overlayfs writes to an upper directory: a whiteout is a character device 0/0 (where no overlay
 * can be mounted it may be a socket, `isWhiteout` of src/tree), an opaque directory has the xattr `<trusted|user>.overlay.opaque` = y (user when
 * unprivileged). The snapshotter returns directories and mount descriptions and never mounts.
 *
 * Life: `prepare(parent)` → an active layer, to be written by the tree functions or as the upper of a RUN → `commit` makes it immutable and gives its
 * id → usable as a parent. `discard` throws an active layer away. An active layer whose process died is removed by the next `sweep`.
 */
export interface Snapshotter {
  prepare(parent: Snapshot): Promise<ActiveLayer>
  /** With `id` (a pulled layer): when a layer of that id is there already, the active one is discarded. */
  commit(active: ActiveLayer, options?: { id?: LayerId; info?: LayerInfo }): Promise<LayerId>
  discard(active: ActiveLayer): Promise<void>
  /** The fs directories, bottom first, one that stands twice only at its upper place; SNAPSHOT_MISSING when one is not there. */
  directories(snapshot: Snapshot): Promise<string[]>
  list(): AsyncIterable<LayerId>
  remove(id: LayerId): Promise<void>
}

export interface ActiveLayer {
  readonly parent: Snapshot
  /** Absolute path of the directory to write into. */
  readonly upper: string
  /** An empty directory on the same file system, for overlayfs. */
  readonly work: string
  /** fs directories of the parent, bottom first. */
  readonly lower: readonly string[]
}
