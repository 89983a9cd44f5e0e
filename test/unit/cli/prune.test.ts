import { pruneRule } from '../../../src/cli/options/prune.ts'
import type { Candidate } from '../../../src/store/gc-selection.ts'

const NOW = Date.parse('2026-06-01T00:00:00Z')
const HOUR = 3600_000
const rule = (filter: string[], more = {}) => pruneRule({ filter, ...more }, NOW)

const record: Candidate = { type: 'record', id: `sha256:${'ab'.repeat(32)}`, lastUsed: '', inUse: false, layers: [], own: 0, name: 'RUN x' }
const mount: Candidate = { ...record, type: 'mount', id: `sha256:${'cd'.repeat(32)}`, name: '/root/.cache' }

describe('the options of prune', () => {
  test('none leave it to the policy of the store, --all takes everything', () => {
    expect(rule([])).toBeUndefined()
    expect(rule([], { all: true })).toEqual({ filter: expect.any(Function) })
  })

  test('ages, types and bounds', () => {
    expect(rule(['unused-for=24h'])).toMatchObject({ unusedFor: 24 * HOUR })
    expect(rule(['until=1h30m', 'until=2h'])).toMatchObject({ unusedFor: 2 * HOUR })
    expect(rule(['until=2026-05-31T00:00:00Z'])).toMatchObject({ unusedFor: 24 * HOUR })
    expect(rule(['type=exec.cachemount', 'type=record'])).toMatchObject({ types: ['mount', 'record'] })
    expect(rule([], { keepStorage: '1.5g', minFree: '10' })).toMatchObject({ keepBytes: 1.5 * 1024 ** 3, minFree: 10 })
  })

  test.each<[string, boolean, boolean]>([
    [`id=${'ab'.repeat(32)}`, true, false],
    ['id=abababababab', true, false],
    ['id=sha256:cdcdcd', false, true],
    ['id=/root/.cache', false, true],
    ['id!=/root/.cache', true, false],
    ['id~=.cache', false, true],
    ['id=RUN x', false, false],
  ])('%s', (text, ofRecord, ofMount) => {
    expect([record, mount].map((item) => rule([text])?.filter?.(item))).toEqual([ofRecord, ofMount])
  })

  test.each(['', 'x=1', 'type=floppy', 'type!=mount', 'until=', 'until=soon', 'unused-for=-1h', 'id', 'until=2026-99-99'])(
    '%j is refused',
    (text) => {
      expect(() => rule([text])).toThrow(expect.objectContaining({ code: 'USAGE', exitCode: 2 }))
    },
  )

  test('a size that is none is refused', () => {
    expect(() => rule([], { keepStorage: 'much' })).toThrow(/--keep-storage/)
  })
})
