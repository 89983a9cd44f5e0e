import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { hostFacts } from '../sandbox/host.ts'
import { DEVICE_LINKS, DEVICES } from '../sandbox/kernel-paths.ts'
import { configFiles, refuseInChroot, sortMounts } from '../sandbox/plan.ts'
import type { ExecMount, ExecSpec, Sandbox } from '../sandbox/types.ts'
import { EmulatedMounts } from '../tree/emulated-mounts.ts'
import { moveChanges } from '../tree/native-changes.ts'
import { nativePart, nativeRoot } from '../tree/native-root.ts'
import { layeredView } from '../tree/view.ts'
import { missingSource } from './native-sandbox.ts'

/** What a build with `--isolation=chroot` is told. */
export const CHROOT_WARNING =
  'isolation chroot: RUN steps share processes, network, devices and IPC with this machine or container, see no /proc and /sys, and a step that runs as root can leave its root. Build nothing that you do not trust'

/**
 * For machines that allow neither namespaces nor mounts: the command is in a chroot(2) of a copy of its root. What would be mounted is put into that copy,
 * over what is there, and taken away afterwards.
 */
export function chrootSandbox(runner: Sandbox): Sandbox {
  return {
    async exec(spec, io, signal) {
      refuseInChroot(spec)
      const folder = join(spec.rootfs.work, 'native')
      mkdirSync(folder)
      const lower = layeredView(spec.rootfs.lower)
      const root = await nativeRoot(lower, join(folder, 'fs'), signal)
      const covers = new EmulatedMounts(root.directory, join(folder, 'covered'))
      systemFiles(covers, spec)
      for (const mount of sortMounts(spec.mounts)) await place(covers, mount, join(folder, `part-${covers.count}`), signal)
      covers.ready()
      const status = await runner.exec({ ...spec, rootfs: { ...spec.rootfs, directory: root.directory }, mounts: [] }, io, signal)
      await covers.remove()
      await moveChanges(root, spec.rootfs.upper, lower, signal)
      return status
    },
  }
}

/** What every RUN sees, as far as it can be made with mknod(2); /proc and /sys stay empty. */
function systemFiles(covers: EmulatedMounts, spec: ExecSpec): void {
  covers.directory('/dev', 0o755, { keep: true })
  for (const [name, major, minor] of DEVICES) covers.device(`/dev/${name}`, major, minor)
  for (const [name, text] of DEVICE_LINKS) if (name !== 'ptmx') covers.link(`/dev/${name}`, text)
  covers.directory('/dev/shm', 0o1777)
  covers.directory('/proc', 0o755, { keep: true })
  covers.directory('/sys', 0o755, { keep: true })
  for (const made of configFiles(spec, hostFacts())) covers.file(made.target, made)
}

async function place(covers: EmulatedMounts, mount: ExecMount, directory: string, signal: AbortSignal | undefined): Promise<void> {
  switch (mount.type) {
    case 'file':
      return covers.file(mount.target, mount)
    case 'tmpfs':
    case 'cache':
      // A cache may be empty at any time; this one is not kept.
      return covers.directory(mount.target, mount.type === 'cache' ? 0o755 : 0o1777)
    case 'bind': {
      const part = await nativePart(layeredView(mount.directories), mount.path, directory, signal)
      if (part !== undefined) return covers.moved(mount.target, join(directory, part))
      throw missingSource(mount)
    }
  }
}
