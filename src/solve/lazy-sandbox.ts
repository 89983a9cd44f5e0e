import type { ExecSpec, Sandbox } from '../sandbox/types.ts'
import { readFileInRoot } from '../tree/read.ts'
import type { TreeView } from '../tree/types.ts'
import { layeredView } from '../tree/view.ts'

/** The embedded runner, loaded at the first RUN: a cached build needs none of it. */
export function lazySandbox(): Sandbox {
  let sandbox: Promise<Sandbox> | undefined
  return {
    async exec(spec, io, signal) {
      sandbox ??= import('../sandbox/runner.ts').then(({ createRunnerSandbox }) => createRunnerSandbox({ readRootFile }))
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
