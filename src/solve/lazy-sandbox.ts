import { errorCode } from '../base/errors.ts'
import { SharedWork } from '../base/shared-work.ts'
import type { RunnerSandbox } from '../sandbox/runner.ts'
import type { ExecSpec, Isolation, Sandbox } from '../sandbox/types.ts'
import { readFileInRoot } from '../tree/read.ts'
import type { TreeView } from '../tree/types.ts'
import { layeredView } from '../tree/view.ts'

/** Of one build. */
interface SandboxOptions {
  readonly onNotice: (message: string) => void
  /** Of every RUN; default: namespaces. */
  readonly isolation?: 'chroot' | undefined
}

/**
 * The embedded runner for the builds of one engine, loaded at the first RUN: a cached build needs none of it. Where the file system of the store takes no
 * overlay, that RUN and all others work on copies; so does one whose root has more layers than overlays take.
 */
export class Sandboxes {
  /** Where the layers are. */
  readonly #store: string
  readonly #loaded = new SharedWork<Isolation | 'copies', Sandbox>()
  /** Each may have a process that stands ready. */
  readonly #runners: RunnerSandbox[] = []
  #takesNoOverlay = false

  constructor(store: string) {
    this.#store = store
  }

  /** What each build should know of its sandbox it is told once. */
  for({ isolation, onNotice }: SandboxOptions): Sandbox {
    if (isolation === 'chroot') return this.#inChroot(onNotice)
    let reported = false
    return {
      exec: async (spec, io, signal) => {
        if (!this.#takesNoOverlay) {
          try {
            return await (await this.#load()).exec(spec, io, signal)
          } catch (error) {
            if (errorCode(error) === 'LAYERS_TOO_MANY') return (await this.#onCopies()).exec(spec, io, signal)
            const { isOverlayRefused } = await import('../sandbox/refused.ts')
            if (!isOverlayRefused(error)) throw error
            this.#takesNoOverlay = true
          }
        }
        const sandbox = await this.#onCopies()
        if (!reported) {
          reported = true
          onNotice(await this.#aboutCopies())
        }
        return sandbox.exec(spec, io, signal)
      },
    }
  }

  /** Ends the processes that stand ready for runs, when those under way have ended: a later run starts another one. */
  async close(): Promise<void> {
    await Promise.all(this.#runners.map((runner) => runner.close()))
  }

  #load(isolation: Isolation = 'namespaces'): Promise<Sandbox> {
    return this.#loaded.of(isolation, async () => {
      const { createRunnerSandbox } = await import('../sandbox/runner.ts')
      const runner = createRunnerSandbox({ readRootFile, isolation })
      this.#runners.push(runner)
      return runner
    })
  }

  #inChroot(onNotice: SandboxOptions['onNotice']): Sandbox {
    const told = new SharedWork<'chroot', Sandbox>()
    const load = async (): Promise<Sandbox> => {
      const [runner, { CHROOT_WARNING, chrootSandbox }] = await Promise.all([this.#load('chroot'), import('./chroot-sandbox.ts')])
      onNotice(CHROOT_WARNING)
      return chrootSandbox(runner)
    }
    return {
      async exec(spec, io, signal) {
        return (await told.of('chroot', load)).exec(spec, io, signal)
      },
    }
  }

  #onCopies(): Promise<Sandbox> {
    return this.#loaded.of('copies', async () => (await import('./native-sandbox.ts')).nativeSandbox(await this.#load()))
  }

  async #aboutCopies(): Promise<string> {
    const { onOverlay } = await import('./native-sandbox.ts')
    const where = onOverlay(this.#store) ? 'lies on an overlay, where no other can be mounted' : 'lies where no overlay can be mounted'
    return `the store ${this.#store} ${where}: each RUN works on a copy of its files. A store on a volume or a tmpfs is faster: --root DIR`
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
