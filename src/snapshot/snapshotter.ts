import { chmodSync } from 'node:fs'
import { basename, dirname } from 'node:path'
import { TbuildError } from '../base/errors.ts'
import { sys } from '../base/sys.ts'
import { AT_EMPTY_PATH, AT_FDCWD, O_DIRECTORY, O_PATH } from '../base/sys-constants.ts'
import { LayerOwners } from '../store/layer-owners.ts'
import { layerName, makeLayerFolder, randomLayerId } from '../store/layers.ts'
import { removeTree } from '../store/remove-tree.ts'
import type { Store } from '../store/store.ts'
import { storeError } from '../store/store-error.ts'
import type { LayerId, LayerInfo, Snapshot } from '../store/types.ts'
import { idMap } from '../values/id-map.ts'
import type { ActiveLayer, Snapshotter } from './types.ts'

/**
 * Layers of a store. An active layer is tmp/<lease>.<n>/{fs,work}: the lease tells whose it is, so what a killed process leaves is removed by the next
 * one that uses the store. Commit is one rename.
 */
export function createSnapshotter(store: Store): Snapshotter {
  const { layers } = store

  async function directories(snapshot: Snapshot): Promise<string[]> {
    const states = await layers.claim(snapshot)
    const missing = snapshot.filter((id) => states.get(id) !== 'directory')
    if (missing.length > 0) {
      throw new TbuildError('SNAPSHOT_MISSING', `the store has no layer ${missing.join(', ')}`, {
        hint: 'run the build again; `tbuild verify-store` finds what else is missing',
      })
    }
    // overlayfs refuses a directory that stands twice (ELOOP), as two equal COPY --link make it; what the lower one does the upper one does again.
    return [...new Set(snapshot.toReversed())].reverse().map((id) => layers.fs(id))
  }

  async function prepare(parent: Snapshot): Promise<ActiveLayer> {
    const lower = await directories(parent)
    try {
      const { fs, work } = makeLayerFolder(store.temporary())
      // Whatever the umask; the upper's root directory is the one that a RUN sees as `/`.
      chmodSync(fs, 0o755)
      prepareOwners(fs, lower)
      return { parent, upper: fs, work, lower }
    } catch (error) {
      throw storeError(error, 'begin a layer')
    }
  }

  async function commit(active: ActiveLayer, options: { id?: LayerId; info?: LayerInfo } = {}): Promise<LayerId> {
    const id = options.id ?? randomLayerId()
    // overlayfs leaves work/work with mode 0 behind.
    await remove(active.work)
    if (options.info !== undefined) await layers.update(id, options.info)
    if (!(await layers.install(folderOf(active), id))) await discard(active)
    return id
  }

  async function discard(active: ActiveLayer): Promise<void> {
    await remove(folderOf(active))
  }

  async function remove(path: string): Promise<void> {
    const failures = await removeTree(path)
    // It stays under tmp/ and is tried again by later processes: no reason to fail a build.
    if (failures.length > 0) store.onNotice(`${failures.length} files under ${path} cannot be removed: ${failures[0]?.message}`)
  }

  return {
    prepare,
    commit,
    discard,
    directories,
    async *list() {
      for (const id of layers.directories()) if (layers.state(id) === 'directory') yield id
    },
    async remove(id) {
      const away = store.temporary()
      await store.leases.exclusively(() => {
        if (store.leases.read({ others: true }).has(layerName(id))) {
          throw new TbuildError('LAYER_IN_USE', `the layer ${id} is used by a running build`, { hint: 'try again when it has ended' })
        }
        // First the directory: a layer that is known and not there is in order, one that is there and not known is not.
        layers.takeAway(id, away)
        layers.forget(id)
      })
      await remove(away)
    },
  }
}

function folderOf(active: ActiveLayer): string {
  if (basename(active.upper) !== 'fs') throw new TypeError(`not an active layer: ${active.upper}`)
  return dirname(active.upper)
}

/**
 * As containerd does: the root directory keeps the owner that the parent's has. Where a RUN may write a file whose owner is data, or copy one up, the
 * new layer knows it from the start.
 */
function prepareOwners(fs: string, lower: readonly string[]): void {
  const owners = LayerOwners.of(fs)
  if (idMap().single || (!idMap().whole && lower.some((directory) => LayerOwners.of(directory).active))) owners.activate()
  const parent = lower.at(-1)
  if (parent !== undefined) {
    const [mine, theirs] = [rootOwner(fs, owners), rootOwner(parent, LayerOwners.of(parent))]
    if (mine.uid !== theirs.uid || mine.gid !== theirs.gid) withRoot(fs, (file) => owners.set(file, theirs))
  }
  owners.save()
}

function rootOwner(fs: string, owners: LayerOwners): { uid: number; gid: number } {
  return withRoot(fs, (file) => owners.shown(sys().statat(file.dirfd, '', AT_EMPTY_PATH), file))
}

function withRoot<T>(fs: string, use: (file: { dirfd: number; name: string; key: string }) => T): T {
  const dirfd = sys().openat(AT_FDCWD, fs, O_PATH | O_DIRECTORY, 0)
  try {
    return use({ dirfd, name: '.', key: '' })
  } finally {
    sys().close(dirfd)
  }
}
