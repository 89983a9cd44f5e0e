import { existsSync, readdirSync, statSync, utimesSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { createSnapshotter } from '../../../src/snapshot/snapshotter.ts'
import { autoCollect } from '../../../src/store/auto-collect.ts'
import { parsePolicy, readGcPolicy } from '../../../src/store/gc-policy.ts'
import { openStore } from '../../../src/store/store.ts'
import { temporaryStore } from '../../suites/temporary-store.ts'

const HOUR = 3600_000
const DISK = 1000 * 1024 ** 3

describe('the policy of gc', () => {
  test("the defaults are BuildKit's", async () => {
    const { store, dispose } = await temporaryStore()
    const { enabled, interval, rules } = readGcPolicy(store.layout)
    expect([enabled, interval, rules.length]).toEqual([true, HOUR, 3])
    expect(rules[0]).toEqual({ types: ['mount'], unusedFor: 48 * HOUR, keepBytes: 512 * 1024 ** 2 })
    expect(rules[1]).toEqual({ unusedFor: 60 * 24 * HOUR })
    await dispose()
  })

  test('a file says it otherwise', () => {
    const rule = { types: ['record', 'image'], unusedFor: '1h30m', keepStorage: '10GB', minFree: '20%', reserved: 5 }
    const policy = parsePolicy(JSON.stringify({ interval: '10m', rules: [rule] }), 'gc.json', DISK)
    expect(policy).toEqual({
      enabled: true,
      interval: HOUR / 6,
      rules: [{ types: ['record', 'image'], unusedFor: 1.5 * HOUR, keepBytes: 10 * 1024 ** 3, minFree: DISK / 5, reservedBytes: 5 }],
    })
    expect(parsePolicy('{"enabled":false}', 'gc.json', DISK).enabled).toBe(false)
  })

  test.each([
    ['{', /JSON/],
    ['[]', /an object is expected/],
    ['{"rule":[]}', /"rule" is none of enabled, interval, rules/],
    ['{"rules":{}}', /rules is a list/],
    ['{"enabled":1}', /enabled is true or false/],
    ['{"interval":"1 hour"}', /interval is a duration/],
    ['{"interval":"-1h"}', /interval is a duration/],
    ['{"rules":[{"types":["blob"]}]}', /types is a list of record, mount and image/],
    ['{"rules":[{"types":[]}]}', /types is a list/],
    ['{"rules":[{"keepStorage":"200%"}]}', /keepStorage is a size/],
    ['{"rules":[{"unusedFor":5}]}', /unusedFor is a duration/],
  ])('%s is refused', (text, message) => {
    expect(() => parsePolicy(text, 'gc.json', DISK)).toThrow(message)
    expect(() => parsePolicy(text, 'gc.json', DISK)).toThrow(expect.objectContaining({ code: 'GC_POLICY_INVALID' }))
  })
})

describe('gc by itself', () => {
  test('acts at most once in the interval, not at the first build, and never fails it', async () => {
    const notices: string[] = []
    const { store, root, dispose } = await temporaryStore({ onNotice: (text) => notices.push(text) })
    const stamp = join(store.layout.v1, 'gc-time')
    const garbage = async () => {
      const build = await openStore(root)
      const snapshots = createSnapshotter(build)
      await snapshots.commit(await snapshots.prepare([]))
      await build.close()
    }
    await garbage()
    await autoCollect(store)
    expect(existsSync(stamp)).toBe(true)
    await autoCollect(store)
    expect(readdirSync(store.layout.layers)).toHaveLength(1)
    utimesSync(stamp, 1, 1)
    await autoCollect(store)
    expect(readdirSync(store.layout.layers)).toEqual([])
    expect(statSync(stamp).mtimeMs).toBeGreaterThan(Date.now() - HOUR)
    expect(notices).toEqual([expect.stringMatching(/^the store was cleaned: 1 things/)])

    await garbage()
    utimesSync(stamp, 1, 1)
    writeFileSync(join(root, 'gc.json'), '{"enabled":false}')
    await autoCollect(store)
    expect(readdirSync(store.layout.layers)).toHaveLength(1)
    writeFileSync(join(root, 'gc.json'), '{')
    await autoCollect(store)
    expect(notices.at(-1)).toMatch(/^the store was not cleaned: .*gc\.json/)
    await dispose()
  })
})
