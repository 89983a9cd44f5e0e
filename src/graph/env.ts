/**
 * An environment as BuildKit keeps it for commands (client/llb, EnvList): in the order in which each name was set last. Immutable. The list in an image's
 * config is another one: there a name keeps its place (A12).
 */
export class Env {
  static readonly empty = new Env(new Map())
  readonly #entries: ReadonlyMap<string, string>

  private constructor(entries: ReadonlyMap<string, string>) {
    this.#entries = entries
  }

  /** From `NAME=value` strings; one without `=` is a name with an empty value (CVE-2026-57231: nothing of the builder's), one without a name is none. */
  static from(list: readonly string[]): Env {
    const entries = new Map<string, string>()
    for (const item of list) {
      const at = item.indexOf('=')
      const name = at < 0 ? item : item.slice(0, at)
      if (name === '') continue
      entries.delete(name)
      entries.set(name, at < 0 ? '' : item.slice(at + 1))
    }
    return new Env(entries)
  }

  get(name: string): string | undefined {
    return this.#entries.get(name)
  }

  has(name: string): boolean {
    return this.#entries.has(name)
  }

  keys(): string[] {
    return [...this.#entries.keys()]
  }

  with(name: string, value: string): Env {
    const entries = new Map(this.#entries)
    entries.delete(name)
    return new Env(entries.set(name, value))
  }

  without(name: string): Env {
    const entries = new Map(this.#entries)
    entries.delete(name)
    return new Env(entries)
  }

  /** Sets all of a list of `NAME=value` again, as a stage does with what the image below it has. */
  withAll(list: readonly string[]): Env {
    return Env.from([...this.list(), ...list])
  }

  list(): string[] {
    return [...this.#entries].map(([name, value]) => `${name}=${value}`)
  }
}

/** What an image without PATH gets, in its config too (A13). */
export const DEFAULT_PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'
