import type { ExecSpec, Sandbox } from '../sandbox/types.ts'
import { readFileInRoot } from '../tree/read.ts'
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

/** passwd and group as the RUN will see them: the new layer is still empty. */
function readRootFile(rootfs: ExecSpec['rootfs'], path: string, limit: number): Buffer | undefined {
  return readFileInRoot(layeredView(rootfs.lower), path, limit)
}
