import * as fc from 'fast-check'
import { type Candidate, type CollectRule, type Facts, selectCollectable } from '../../../src/store/gc-selection.ts'
import type { LayerId } from '../../../src/store/types.ts'

const NOW = Date.parse('2026-06-01T00:00:00Z')
const HOUR = 3600_000

function item(id: string, ageHours: number, more: Partial<Candidate> = {}): Candidate {
  const lastUsed = new Date(NOW - ageHours * HOUR).toISOString()
  return { type: 'record', id, lastUsed, inUse: false, layers: [id as LayerId], own: 0, ...more }
}

function facts(sizes: Record<string, number> = {}, more: Partial<Facts> = {}): Facts {
  return { sizes: new Map(Object.entries(sizes) as [LayerId, number][]), pinned: new Set(), free: 1000, now: NOW, ...more }
}

const kept = (candidates: readonly Candidate[], rules: readonly CollectRule[], given = facts({ a: 100, b: 100, c: 100 })) =>
  selectCollectable(candidates, rules, given).kept.map(({ id }) => id)

describe('choosing what gc takes', () => {
  const three = [item('a', 1), item('b', 2), item('c', 3)]

  test('no rule takes nothing, an empty rule everything that is not in use', () => {
    expect(kept(three, [])).toEqual(['a', 'b', 'c'])
    expect(kept([...three, item('d', 9, { inUse: true })], [{}])).toEqual(['d'])
  })

  test('the least recently used go first, until the rest fits', () => {
    expect(kept(three, [{ keepBytes: 250 }])).toEqual(['a', 'b'])
    expect(kept(three, [{ keepBytes: 0 }])).toEqual([])
    expect(kept(three, [{ keepBytes: 0, reservedBytes: 100 }])).toEqual(['a'])
  })

  test('free space is a bound, too', () => {
    expect(kept(three, [{ minFree: 1000 }])).toEqual(['a', 'b', 'c'])
    expect(kept(three, [{ minFree: 1150 }])).toEqual(['a'])
    // The second rule sees what the first one freed.
    expect(kept(three, [{ unusedFor: 2.5 * HOUR }, { minFree: 1100 }])).toEqual(['a', 'b'])
  })

  test('age, types and the filter must all agree', () => {
    const mixed = [...three, item('m', 5, { type: 'mount', layers: [], own: 50 }), item('i', 9, { type: 'image' })]
    expect(kept(mixed, [{ types: ['mount'] }])).toEqual(['a', 'b', 'c', 'i'])
    expect(kept(mixed, [{ unusedFor: 2.5 * HOUR }])).toEqual(['a', 'b', 'i'])
    expect(kept(mixed, [{ types: ['image'] }])).toEqual(['a', 'b', 'c', 'm'])
    expect(kept(mixed, [{ filter: ({ id }) => id === 'b' }])).toEqual(['a', 'c', 'm', 'i'])
  })

  test('what shares its layers with what stays costs nothing and stays', () => {
    const shared = item('old', 9, { layers: ['a' as LayerId] })
    expect(kept([...three, shared], [{ keepBytes: 100 }])).toEqual(['a', 'old'])
  })

  test('layers of images and of running builds do not count against the bound', () => {
    const image = item('i', 1, { type: 'image', layers: ['a', 'b'] as LayerId[] })
    expect(kept([image, ...three], [{ keepBytes: 100 }])).toEqual(['i', 'a', 'b', 'c'])
    const pinned = new Set(['a', 'b'] as LayerId[])
    expect(kept(three, [{ keepBytes: 100 }], facts({ a: 100, b: 100, c: 100 }, { pinned }))).toEqual(['a', 'b', 'c'])
  })

  test('what it says goes is what goes, and the bound is kept', () => {
    const names = fc.constantFrom('a', 'b', 'c', 'd', 'e')
    const records = fc.uniqueArray(
      fc.record({ id: fc.uuid(), age: fc.integer({ min: 0, max: 99 }), inUse: fc.boolean(), layers: fc.uniqueArray(names) }),
      { selector: ({ id }) => id, maxLength: 12 },
    )
    fc.assert(
      fc.property(records, fc.integer({ min: 0, max: 500 }), (list, keepBytes) => {
        const candidates = list.map(({ id, age, inUse, layers }) => item(id, age, { inUse, layers: layers as LayerId[] }))
        const sizes = { a: 10, b: 20, c: 40, d: 80, e: 160 } as Record<string, number>
        const { kept, removed } = selectCollectable(candidates, [{ keepBytes }], facts(sizes))
        expect([...kept, ...removed].map(({ id }) => id).sort()).toEqual(candidates.map(({ id }) => id).sort())
        expect(removed.every(({ id }) => !candidates.find((one) => one.id === id)?.inUse)).toBe(true)
        const bytes = (items: readonly Candidate[]) =>
          [...new Set(items.flatMap(({ layers }) => layers))].reduce((sum, id) => sum + (sizes[id] ?? 0), 0)
        const used = bytes(kept.filter(({ inUse }) => inUse))
        expect(bytes(kept)).toBeLessThanOrEqual(Math.max(keepBytes, used))
        expect(removed.reduce((sum, { size }) => sum + size, 0)).toBe(bytes(candidates) - bytes(kept))
      }),
    )
  })
})
