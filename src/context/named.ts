import { TbuildError } from '../base/errors.ts'
import type { NamedContext } from '../graph/lower-types.ts'
import { type ContextFiles, openNamedContext } from './contexts.ts'
import { parseContextName } from './parse-context.ts'

/** `--build-context name=value`, and the build context itself under the name `context`. */
export class NamedContexts {
  readonly #values: Readonly<Record<string, string>>
  readonly #main: ContextFiles
  readonly #open = new Map<string, Promise<ContextFiles>>()

  constructor(values: Readonly<Record<string, string>>, main: ContextFiles) {
    this.#values = values
    this.#main = main
  }

  /** What stands in place of a stage or a base of that name (G13). */
  find(name: string): NamedContext | undefined {
    const value = Object.hasOwn(this.#values, name) ? this.#values[name] : undefined
    if (value === undefined) return undefined
    const context = parseContextName(value)
    if (context.kind === 'image') return context
    if (context.kind === 'directory') return { kind: 'files', name }
    throw new TbuildError('CONTEXT_UNSUPPORTED', `--build-context ${name}=${value}: only directories and images are supported yet`, {
      hint: 'fetch it first and name the directory',
    })
  }

  files(name: string): Promise<ContextFiles> {
    if (name === 'context') return Promise.resolve(this.#main)
    let files = this.#open.get(name)
    if (files === undefined) {
      files = openNamedContext(name, this.#values[name] as string)
      this.#open.set(name, files)
    }
    return files
  }
}
