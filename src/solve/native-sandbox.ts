import { mkdirSync, statfsSync } from 'node:fs'
import { join } from 'node:path'
import { TbuildError } from '../base/errors.ts'
import type { ExecMount, ExecSpec, Sandbox } from '../sandbox/types.ts'
import { moveChanges } from '../tree/native-changes.ts'
import { nativePart, nativeRoot } from '../tree/native-root.ts'
import { layeredView } from '../tree/view.ts'

type Bind = Extract<ExecMount, { type: 'bind' }>

/**
 * A sandbox without overlays: the command works on a copy of its root, and what it changed goes into the new layer afterwards, as an overlay would have left
 * it there. So are the sources of bind mounts.
 */
export function nativeSandbox(runner: Sandbox): Sandbox {
  return {
    async exec(spec, io, signal) {
      const folder = join(spec.rootfs.work, 'native')
      mkdirSync(folder)
      const lower = layeredView(spec.rootfs.lower)
      // A layer's own name for it: owners that are data are kept beside it.
      const root = await nativeRoot(lower, join(folder, 'fs'), signal)
      const mounts: ExecMount[] = []
      for (const [index, mount] of spec.mounts.entries()) {
        mounts.push(mount.type === 'bind' ? await copied(mount, join(folder, `bind-${index}`), signal) : mount)
      }
      // The root is attached to it, which would hide what lies below.
      const work = join(folder, 'attach')
      mkdirSync(work)
      const native: ExecSpec = { ...spec, rootfs: { ...spec.rootfs, work, directory: root.directory }, mounts }
      const status = await runner.exec(native, io, signal)
      await moveChanges(root, spec.rootfs.upper, lower, signal)
      return status
    },
  }
}

/** A single layer that is only read needs no copy. */
async function copied(mount: Bind, directory: string, signal: AbortSignal | undefined): Promise<ExecMount> {
  if (mount.directories.length === 1 && !mount.writable) return mount
  const { target, writable } = mount
  const path = await nativePart(layeredView(mount.directories), mount.path, directory, signal)
  if (path !== undefined) return { type: 'cache', target, directory, path, writable }
  throw missingSource(mount)
}

export function missingSource({ path, target }: Bind): TbuildError {
  return new TbuildError('SANDBOX_SETUP', `cannot set up the sandbox: mount source ${path} for ${target}: No such file or directory`, {
    hint: 'the source of a --mount must exist where it is taken from',
  })
}

const OVERLAY_MAGIC = 0x794c7630

export function onOverlay(directory: string): boolean {
  return statfsSync(directory).type === OVERLAY_MAGIC
}
