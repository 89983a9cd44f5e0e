/** An environment as BuildKit keeps it: order of first definition, replaced in place (A12). Immutable. */
export class Env {
  static readonly empty = new Env(new Map())
  readonly #entries: ReadonlyMap<string, string>

  private constructor(entries: ReadonlyMap<string, string>) {
    this.#entries = entries
  }

  /** From `NAME=value` strings; one without `=` is a name with an empty value. */
  static from(list: readonly string[]): Env {
    const entries = new Map<string, string>()
    for (const item of list) {
      const at = item.indexOf('=')
      if (at < 0) entries.set(item, '')
      else entries.set(item.slice(0, at), item.slice(at + 1))
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
    return new Env(new Map(this.#entries).set(name, value))
  }

  list(): string[] {
    return [...this.#entries].map(([name, value]) => `${name}=${value}`)
  }
}

/** What an image without PATH gets, in its config too (A13). */
export const DEFAULT_PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'
