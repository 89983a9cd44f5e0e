import { existsSync } from 'node:fs'
import { TbuildError } from '../base/errors.ts'
import type { BuildOptions, ResolvedOptions } from '../build-options.ts'
import type { Caller } from '../caller/caller.ts'
import { untilEnded } from '../caller/until-ended.ts'
import { Sandboxes } from '../solve/lazy-sandbox.ts'
import { type EngineDeps, openSession, type Session } from '../solve/session.ts'
import { openSharedStore } from '../store/store.ts'
import { storeRoot } from '../this-machine/store-root.ts'
import { ThisMachine } from '../this-machine/this-machine.ts'
import { DirectoryFds } from '../tree/directory-fds.ts'
import { LayerChain } from '../tree/layer-chain.ts'
import { Lifetime } from './lifetime.ts'
import { OpenBuild } from './open-build.ts'

/** Where the store is, and what its default is found with. */
export type EngineOptions = Pick<BuildOptions, 'root' | 'environment' | 'workingDirectory'>

/**
 * What all builds on one store have in common: the store, and what was learnt of this machine's sandboxes. It may live as long as its process: between
 * builds nothing of the store is held, so that gc of any process may take what no record or image has, no directory is open, and no process stands ready.
 */
export class Engine {
  readonly #deps: EngineDeps
  /** Of builds that are being opened. */
  readonly #opening = new Set<Lifetime>()
  readonly #builds = new Set<OpenBuild>()
  #isClosed = false

  constructor(deps: EngineDeps) {
    this.#deps = deps
  }

  /** Reads the Dockerfile and opens what the build is made of: an operation on the store, until it is closed. */
  async openBuild(options: ResolvedOptions, caller: Caller): Promise<OpenBuild> {
    if (this.#isClosed) throw new TbuildError('ENGINE_CLOSED', 'the engine is closed', { hint: 'open another one' })
    const lifetime = new Lifetime(caller.progress)
    this.#opening.add(lifetime)
    try {
      const { progress } = lifetime
      const asked = untilEnded(caller, progress.signal)
      return await lifetime.run(async () => this.#opened(options, await openSession(options, asked, this.#deps, progress), lifetime))
    } catch (error) {
      await lifetime.end()
      await this.#rest()
      throw error
    } finally {
      this.#opening.delete(lifetime)
    }
  }

  #opened(options: ResolvedOptions, session: Session, lifetime: Lifetime): OpenBuild {
    const onClose = () => {
      this.#builds.delete(build)
      return this.#rest()
    }
    const build: OpenBuild = new OpenBuild({ options, session, lifetime, onClose })
    this.#builds.add(build)
    return build
  }

  /** When no build is open, nothing is. A build that begins meanwhile opens and starts again what it needs. */
  async #rest(): Promise<void> {
    if (this.#builds.size > 0) return
    DirectoryFds.closeAll()
    LayerChain.forgetAll()
    await this.#deps.sandboxes.close()
  }

  /** Closes all builds of it, also those that are being opened, and opens no more. */
  async close(): Promise<void> {
    this.#isClosed = true
    await Promise.all([...this.#opening].map((lifetime) => lifetime.end()))
    const closing = await Promise.allSettled([...this.#builds].map((build) => build.close()))
    await this.#deps.sandboxes.close()
    for (const closed of closing) if (closed.status === 'rejected') throw closed.reason
  }
}

/** The engine on a store, which is made when it is not there. Errors: PROC_MISSING, and those of a store. */
export async function openEngine(options: EngineOptions = {}): Promise<Engine> {
  // Attributes of files are asked for by way of it, and everything that the sandbox makes.
  if (!existsSync('/proc/self/fd'))
    throw new TbuildError('PROC_MISSING', 'there is no /proc', { hint: 'mount /proc: mount -t proc proc /proc' })
  const store = openSharedStore(storeRoot(options.root, new ThisMachine(options)))
  return new Engine({ store, sandboxes: new Sandboxes(store.layout.root) })
}
