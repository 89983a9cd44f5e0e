import fc from 'fast-check'
import { Env } from '../../../src/graph/env.ts'

type Change = readonly [name: string, value: string | undefined]

/** The same by one map that is changed. */
function plain(changes: readonly Change[]): Map<string, string> {
  const entries = new Map<string, string>()
  for (const [name, value] of changes) {
    entries.delete(name)
    if (value !== undefined) entries.set(name, value)
  }
  return entries
}

const changed = (env: Env, [name, value]: Change) => (value === undefined ? env.without(name) : env.with(name, value))
const names = fc.constantFrom('A', 'B', 'C', 'D', 'PATH', '__proto__')
const changes = fc.array(fc.tuple(names, fc.option(fc.string({ maxLength: 2 }), { nil: undefined })), { maxLength: 40 })

test('names stand in the order in which each was set last, and every environment stays what it was', () => {
  fc.assert(
    fc.property(changes, changes, (first, second) => {
      const all = [Env.empty]
      for (const change of first) all.push(changed(all.at(-1) as Env, change))
      // Another one made from the middle, as a stage is FROM an earlier one.
      const middle = Math.floor(first.length / 2)
      const other = second.reduce(changed, all[middle] as Env)
      const expected = [...first.keys(), first.length].map((count) => plain(first.slice(0, count)))
      expect(all.map((env) => env.list())).toEqual(expected.map((entries) => [...entries].map(([name, value]) => `${name}=${value}`)))
      const branch = plain([...first.slice(0, middle), ...second])
      expect(other.keys()).toEqual([...branch.keys()])
      for (const name of ['A', 'B', 'PATH', 'never'])
        expect([other.get(name), other.has(name)]).toEqual([branch.get(name), branch.has(name)])
    }),
  )
})

test('steps of one environment share its list', () => {
  const env = Env.from(['A=1', 'B']).with('C', '3')
  expect(env.list()).toEqual(['A=1', 'B=', 'C=3'])
  expect(env.list()).toBe(env.list())
})

test('an entry is copied a few times, however many names are set', () => {
  const copies = (count: number) => {
    let set = 0
    const { set: original } = Map.prototype
    Map.prototype.set = function (...entry: [unknown, unknown]) {
      set += 1
      return original.apply(this, entry)
    }
    try {
      let env = Env.empty
      for (let index = 0; index < count; index += 1) env = env.with(`NAME${index}`, '')
      expect(env.has('NAME0')).toBe(true)
    } finally {
      Map.prototype.set = original
    }
    return set
  }
  expect(copies(4_000)).toBeLessThan(copies(1_000) * 6)
})
