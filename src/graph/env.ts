/** What was set since the changes below it; undefined takes a name away. A name that was set again is the last in its own map. */
interface Changes {
  readonly entries: ReadonlyMap<string, string | undefined>
  readonly below: Changes | undefined
}

/**
 * An environment as BuildKit keeps it for commands (client/llb, EnvList): in the order in which each name was set last. Immutable. The list in an image's
 * config is another one: there a name keeps its place (A12).
 *
 * Each instruction may set a name, so it shares what came before with the one that it was made from: maps of changes, each smaller than the one below it. A
 * copy for each name would make many of them quadratic.
 */
export class Env {
  static readonly empty = new Env(undefined)
  readonly #changes: Changes | undefined
  #list: readonly string[] | undefined

  private constructor(changes: Changes | undefined) {
    this.#changes = changes
  }

  /** From `NAME=value` strings; one without `=` is a name with an empty value (CVE-2026-57231: nothing of the builder's), one without a name is none. */
  static from(list: readonly string[]): Env {
    const entries = new Map<string, string>()
    for (const item of list) {
      const at = item.indexOf('=')
      const name = at < 0 ? item : item.slice(0, at)
      if (name !== '') setLast(entries, name, at < 0 ? '' : item.slice(at + 1))
    }
    return new Env({ entries, below: undefined })
  }

  get(name: string): string | undefined {
    for (let changes = this.#changes; changes !== undefined; changes = changes.below) {
      if (changes.entries.has(name)) return changes.entries.get(name)
    }
    return undefined
  }

  has(name: string): boolean {
    return this.get(name) !== undefined
  }

  keys(): string[] {
    return this.list().map((item) => item.slice(0, item.indexOf('=')))
  }

  with(name: string, value: string): Env {
    return new Env(pushed(this.#changes, name, value))
  }

  without(name: string): Env {
    return new Env(pushed(this.#changes, name, undefined))
  }

  /** Sets all of a list of `NAME=value` again, as a stage does with what the image below it has. */
  withAll(list: readonly string[]): Env {
    return Env.from([...this.list(), ...list])
  }

  /** `NAME=value`. The same list each time: the steps of an environment share it. */
  list(): readonly string[] {
    this.#list ??= listOf(this.#changes)
    return this.#list
  }
}

function setLast<T>(entries: Map<string, T>, name: string, value: T): void {
  entries.delete(name)
  entries.set(name, value)
}

/** One more change; those below that are no larger are joined with it, so that there are few, and each entry is copied a few times. */
function pushed(below: Changes | undefined, name: string, value: string | undefined): Changes {
  const own: Changes[] = [{ entries: new Map([[name, value]]), below: undefined }]
  let size = 1
  let rest = below
  for (; rest !== undefined && rest.entries.size <= size; rest = rest.below) {
    own.push(rest)
    size += rest.entries.size
  }
  return { entries: joined(own.reverse()), below: rest }
}

/** Of several, those below first. */
function joined(all: readonly Changes[]): Map<string, string | undefined> {
  const entries = new Map<string, string | undefined>()
  for (const changes of all) for (const [name, value] of changes.entries) setLast(entries, name, value)
  return entries
}

function listOf(top: Changes | undefined): string[] {
  const all: Changes[] = []
  for (let changes = top; changes !== undefined; changes = changes.below) all.push(changes)
  return [...joined(all.reverse())].flatMap(([name, value]) => (value === undefined ? [] : `${name}=${value}`))
}

/** What an image without PATH gets, in its config too (A13). */
export const DEFAULT_PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'
