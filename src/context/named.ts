import { TbuildError } from '../base/errors.ts'
import type { NamedContext } from '../graph/lower-types.ts'
import type { GitOp, HttpOp } from '../graph/op.ts'
import { contextName, contextNameOf, MAIN_CONTEXT } from './context-name.ts'
import { type ContextFiles, isDirectory, openNamedContext } from './contexts.ts'
import { parseNamedContext } from './parse-context.ts'
import { sentView } from './sent-view.ts'
import type { ContextSources } from './sources.ts'

/** `--build-context name=value`, and the build context itself under the name `context`. */
export class NamedContexts {
  readonly #values: ReadonlyMap<string, string>
  readonly #main: ContextFiles
  readonly #sources: ContextSources
  readonly #open = new Map<string, Promise<ContextFiles>>()
  readonly #reads = new Map<string, readonly string[]>()

  /** CONTEXT_NOT_FOUND for a directory that is not there, whether the build needs it or not; CONTEXT_NAME. */
  constructor(values: Readonly<Record<string, string>>, main: ContextFiles, sources: ContextSources) {
    this.#values = new Map(Object.entries(values).map(([name, value]) => [contextName(name), value]))
    this.#main = main
    this.#sources = sources
    for (const [name, value] of Object.entries(values)) {
      const context = parseNamedContext(value)
      if (context.kind !== 'directory' || isDirectory(context.path)) continue
      throw new TbuildError('CONTEXT_NOT_FOUND', `failed to get build context ${name}: ${value} is not a directory`, {
        hint: 'give a directory, docker-image://, oci-layout://, or the URL of an archive or a git repository',
      })
    }
  }

  /** What stands in place of a stage or a base of that name (G13). */
  find(written: string): NamedContext | undefined {
    const name = this.#values.size === 0 ? undefined : contextNameOf(written)
    const value = name === undefined ? undefined : this.#values.get(name)
    if (name === undefined || value === undefined) return undefined
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
    const files = await this.#all(name)
    const paths = this.#reads.get(name)
    return paths === undefined ? files : { ...files, view: sentView(files.view, paths) }
  }

  #all(name: string): Promise<ContextFiles> {
    if (name === MAIN_CONTEXT) return Promise.resolve(this.#main)
    let files = this.#open.get(name)
    if (files === undefined) {
      files = openNamedContext(name, this.#values.get(name) as string, this.#sources, this.#main.mode)
      this.#open.set(name, files)
    }
    return files
  }
}
