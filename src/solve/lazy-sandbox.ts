import { errorCode } from '../base/errors.ts'
import type { ExecSpec, Sandbox } from '../sandbox/types.ts'
import { readFileInRoot } from '../tree/read.ts'
import type { TreeView } from '../tree/types.ts'
import { layeredView } from '../tree/view.ts'

export interface SandboxSurroundings {
  /** Where the layers are. */
  readonly store: string
  readonly onNotice: (message: string) => void
  /** Of every RUN; default: namespaces. */
  readonly isolation?: 'chroot' | undefined
}

/**
 * The embedded runner, loaded at the first RUN: a cached build needs none of it. Where the file system of the store takes no overlay, that RUN and all
 * others of the build work on copies; so does one whose root has more layers than overlays take.
 */
export function lazySandbox({ store, onNotice, isolation }: SandboxSurroundings): Sandbox {
  let runner: Promise<Sandbox> | undefined
  let native: Promise<Sandbox> | undefined
  const onCopies = async () => (await import('./native-sandbox.ts')).nativeSandbox(await (runner as Promise<Sandbox>))
  const withoutOverlay = (): Promise<Sandbox> => {
    native ??= import('./native-sandbox.ts').then(({ onOverlay }) => {
      const where = onOverlay(store) ? 'lies on an overlay, where no other can be mounted' : 'lies where no overlay can be mounted'
      onNotice(`the store ${store} ${where}: each RUN works on a copy of its files. A store on a volume or a tmpfs is faster: --root DIR`)
      return onCopies()
    })
    return native
  }
  if (isolation === 'chroot') return lazyChroot(onNotice)
  return {
    async exec(spec, io, signal) {
      runner ??= import('../sandbox/runner.ts').then(({ createRunnerSandbox }) => createRunnerSandbox({ readRootFile }))
      if (native !== undefined) return (await native).exec(spec, io, signal)
      try {
        return await (await runner).exec(spec, io, signal)
      } catch (error) {
        if (errorCode(error) === 'LAYERS_TOO_MANY') return (await onCopies()).exec(spec, io, signal)
        const { isOverlayRefused } = await import('../sandbox/refused.ts')
        if (!isOverlayRefused(error)) throw error
        return (await withoutOverlay()).exec(spec, io, signal)
      }
    },
  }
}

function lazyChroot(onNotice: SandboxSurroundings['onNotice']): Sandbox {
  let sandbox: Promise<Sandbox> | undefined
  const load = async (): Promise<Sandbox> => {
    const [{ createRunnerSandbox }, { CHROOT_WARNING, chrootSandbox }] = await Promise.all([
      import('../sandbox/runner.ts'),
      import('./chroot-sandbox.ts'),
    ])
    onNotice(CHROOT_WARNING)
    return chrootSandbox(createRunnerSandbox({ readRootFile, isolation: 'chroot' }))
  }
  return {
    async exec(spec, io, signal) {
      sandbox ??= load()
      return (await sandbox).exec(spec, io, signal)
    },
  }
}

type Rootfs = ExecSpec['rootfs']
/** A run reads several files of its root; the look at each layer's own root is made once for them. */
const views = new WeakMap<Rootfs, TreeView>()

/** passwd and group as the RUN will see them: the new layer is still empty. */
function readRootFile(rootfs: Rootfs, path: string, limit: number): Buffer | undefined {
  const view = views.get(rootfs) ?? layeredView(rootfs.lower)
  views.set(rootfs, view)
  return readFileInRoot(view, path, limit)
}
