import type { Json } from './canonical-json.ts'

/** How the values of a type stand in JSON: `read(write(value))` is the value, and what `write` never makes is refused. */
export interface Codec<T> {
  readonly write: (value: T) => Json
  /** `place` is where it stands: `op.mounts[2].id`. Throws Mismatch. */
  readonly read: (json: unknown, place: string) => T
  /** How a member that is undefined, and so is not in the JSON, is read; without, it must be there. */
  readonly absent?: 'left out' | 'undefined'
}

/** JSON that is not of the type. */
export class Mismatch extends Error {
  readonly place: string

  constructor(place: string, problem: string) {
    super(problem)
    this.place = place
  }
}

/** What `is` accepts, as it is. */
export function plain<T extends Json>(what: string, is: (json: unknown) => json is T): Codec<T> {
  return {
    write: (value) => value,
    read(json, place) {
      if (is(json)) return json
      throw new Mismatch(place, `not ${what}`)
    },
  }
}

export const flag = /* @__PURE__ */ plain('true or false', (json) => typeof json === 'boolean')

/** Of whole characters, and of single bytes that are none as `decodeName` has them (utf8.ts): JSON carries those as escapes. */
export const text = /* @__PURE__ */ plain(
  'a text',
  (json): json is string => typeof json === 'string' && !/[\ud800-\udc7f\udd00-\udfff]/u.test(json),
)

export function integer(min = Number.MIN_SAFE_INTEGER, max = Number.MAX_SAFE_INTEGER): Codec<number> {
  const is = (json: unknown): json is number => Number.isSafeInteger(json) && (json as number) >= min && (json as number) <= max
  return plain(max === Number.MAX_SAFE_INTEGER ? `a whole number from ${min}` : `a whole number from ${min} to ${max}`, is)
}

export function oneOf<const T extends string | number | boolean>(...values: readonly T[]): Codec<T> {
  return plain(`one of ${values.map((value) => JSON.stringify(value)).join(', ')}`, (json): json is T => values.includes(json as T))
}

/** `a?: T` */
export function optional<T>(codec: Codec<T>): Codec<T | undefined> {
  return { write: codec.write as Codec<T | undefined>['write'], read: codec.read, absent: 'left out' }
}

/** `a: T | undefined` */
export function orUndefined<T>(codec: Codec<T>): Codec<T | undefined> {
  return { ...optional(codec), absent: 'undefined' }
}

export function listOf<T>(codec: Codec<T>, limit = Number.POSITIVE_INFINITY): Codec<readonly T[]> {
  return {
    write: (values) => values.map((value) => codec.write(value)),
    read(json, place) {
      if (!Array.isArray(json)) throw new Mismatch(place, 'not a list')
      if (json.length > limit) throw new Mismatch(place, `more than ${limit} items`)
      return json.map((item: unknown, index) => codec.read(item, `${place}[${index}]`))
    },
  }
}

/** Exactly these members: one more in the type does not compile until it is here. */
export function object<T extends object>(members: { readonly [K in keyof T]-?: Codec<T[K]> }): Codec<T> {
  const codecs = Object.entries(members) as [string, Codec<unknown>][]
  const names = new Set(codecs.map(([name]) => name))
  return {
    write: (value) =>
      Object.fromEntries(
        codecs.flatMap(([name, codec]) => {
          const member = value[name as keyof T]
          return member === undefined ? [] : [[name, codec.write(member)]]
        }),
      ),
    read(json, place) {
      const given = membersOf(json, place)
      const unknown = [...given.keys()].find((name) => !names.has(name))
      if (unknown !== undefined) throw new Mismatch(memberPlace(place, JSON.stringify(unknown.slice(0, 50))), 'unknown')
      return Object.fromEntries(codecs.flatMap(([name, codec]) => readMember(given, name, codec, place))) as T
    },
  }
}

function readMember(given: ReadonlyMap<string, unknown>, name: string, codec: Codec<unknown>, place: string): [string, unknown][] {
  const at = memberPlace(place, name)
  if (given.has(name)) return [[name, codec.read(given.get(name), at)]]
  if (codec.absent === undefined) throw new Mismatch(at, 'missing')
  return codec.absent === 'left out' ? [] : [[name, undefined]]
}

/** A union, told apart by one member. */
export function variants<T extends object, K extends keyof T & string>(
  tag: K,
  table: { readonly [V in T[K] & string]: Codec<Extract<T, Readonly<Record<K, V>>>> },
): Codec<T> {
  const codecs = new Map(Object.entries(table)) as unknown as ReadonlyMap<unknown, Codec<T>>
  const of = (kind: unknown, place: string): Codec<T> => {
    const codec = codecs.get(kind)
    if (codec === undefined) throw new Mismatch(memberPlace(place, tag), `not one of ${[...codecs.keys()].join(', ')}`)
    return codec
  }
  return {
    write: (value) => of(value[tag], '').write(value),
    read: (json, place) => of(membersOf(json, place).get(tag), place).read(json, place),
  }
}

/** A Map: a key such as `__proto__` is only a key. */
function membersOf(json: unknown, place: string): ReadonlyMap<string, unknown> {
  if (json !== null && typeof json === 'object' && !Array.isArray(json)) return new Map(Object.entries(json))
  throw new Mismatch(place, 'not an object')
}

function memberPlace(place: string, name: string): string {
  return place === '' ? name : `${place}.${name}`
}
