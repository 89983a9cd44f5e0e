import { TbuildError } from '../base/errors.ts'
import type { BuildTarget } from '../build-options.ts'
import { type Caller, NO_FILES } from '../caller/caller.ts'
import type { NamedContext } from '../graph/lower-types.ts'
import type { GitOp, HttpOp } from '../graph/op.ts'
import { contextName, contextNameOf, MAIN_CONTEXT } from './context-name.ts'
import { type BuildInputs, type ContextFiles, openNamedContext } from './contexts.ts'
import { parseNamedContext } from './parse-context.ts'
import { sentView } from './sent-view.ts'
import type { ContextSources } from './sources.ts'

/** What the target of another build is called as an image: no reference can be so. */
export const TARGET_SCHEME = 'target://'

/** Those contexts that are targets of other builds, by name. CONTEXT_NAME. */
export function targetContexts(given: Readonly<Record<string, string | BuildTarget>>): Map<string, BuildTarget> {
  const targets = new Map<string, BuildTarget>()
  for (const [name, value] of Object.entries(given)) if (typeof value !== 'string') targets.set(contextName(name), value)
  return targets
}

/** `--build-context name=value`, and the build context itself under the name `context`. */
export class NamedContexts {
  /** Undefined is the target of another build. */
  readonly #values: ReadonlyMap<string, string | undefined>
  readonly #main: Pick<BuildInputs, 'context' | 'mode'>
  readonly #caller: Caller
  readonly #sources: ContextSources
  readonly #open = new Map<string, Promise<ContextFiles>>()
  readonly #reads = new Map<string, readonly string[]>()

  private constructor(
    values: ReadonlyMap<string, string | undefined>,
    main: Pick<BuildInputs, 'context' | 'mode'>,
    caller: Caller,
    sources: ContextSources,
  ) {
    this.#values = values
    this.#main = main
    this.#caller = caller
    this.#sources = sources
  }

  /** CONTEXT_NOT_FOUND for a directory that is not there, whether the build needs it or not; CONTEXT_NAME. */
  static async of(
    given: Readonly<Record<string, string | BuildTarget>>,
    main: Pick<BuildInputs, 'context' | 'mode'>,
    caller: Caller,
    sources: ContextSources,
  ): Promise<NamedContexts> {
    const values = Object.entries(given).map(([name, value]) => [name, typeof value === 'string' ? value : undefined] as const)
    const named = new Map(values.map(([name, value]) => [contextName(name), value]))
    for (const [name, value] of values) {
      if (value === undefined || parseNamedContext(value).kind !== 'directory') continue
      if (typeof (await caller.directory(value, NO_FILES, sources.signal)) !== 'string') continue
      throw new TbuildError('CONTEXT_NOT_FOUND', `failed to get build context ${name}: ${value} is not a directory`, {
        hint: 'give a directory, docker-image://, oci-layout://, or the URL of an archive or a git repository',
      })
    }
    return new NamedContexts(named, main, caller, sources)
  }

  /** What stands in place of a stage or a base of that name (G13). */
  find(written: string): NamedContext | undefined {
    const name = this.#values.size === 0 ? undefined : contextNameOf(written)
    if (name === undefined || !this.#values.has(name)) return undefined
    const value = this.#values.get(name)
    if (value === undefined) return { kind: 'image', reference: `${TARGET_SCHEME}${name}` }
    const context = parseNamedContext(value)
    if (context.kind !== 'image') return { kind: 'files', name, ...(context.kind === 'directory' ? {} : { isRemote: true }) }
    return context.reference === 'scratch' ? { kind: 'scratch' } : context
  }

  /** What the instructions read of each context: nothing else is seen of it (K17). Several platforms add up. */
  limit(reads: ReadonlyMap<string, readonly string[]>): void {
    for (const [name, paths] of reads) this.#reads.set(name, [...(this.#reads.get(name) ?? []), ...paths])
  }

  /** Of a context or another remote source, seconds; undefined has none. */
  async timeOf(source: { readonly kind: 'files'; readonly name: string } | GitOp | HttpOp): Promise<number | undefined> {
    const { contextTime, sourceTime } = await import('./times.ts')
    return source.kind === 'files'
      ? contextTime(source.name, this.#values.get(source.name) as string, this.#sources)
      : sourceTime(source, this.#sources)
  }

  async files(name: string): Promise<ContextFiles> {
    const paths = this.#reads.get(name)
    const files = await this.#all(name, paths)
    return paths === undefined ? files : { ...files, view: sentView(files.view, paths) }
  }

  #all(name: string, paths: readonly string[] | undefined): Promise<ContextFiles> {
    let files = this.#open.get(name)
    if (files === undefined) {
      files = this.#openFiles(name, paths)
      this.#open.set(name, files)
    }
    return files
  }

  async #openFiles(name: string, paths: readonly string[] | undefined): Promise<ContextFiles> {
    const { context, mode } = this.#main
    if (name === MAIN_CONTEXT) return context(paths)
    const open = await openNamedContext(name, this.#values.get(name) as string, { caller: this.#caller, sources: this.#sources }, mode)
    return open(paths)
  }
}
