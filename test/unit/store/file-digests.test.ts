import { readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import fc from 'fast-check'
import { hexOf, sha256 } from '../../../src/base/digest.ts'
import { type FileStat, isFileDigests, isSettled } from '../../../src/store/file-digests.ts'
import type { Store } from '../../../src/store/store.ts'
import { temporaryStore } from '../../suites/temporary-store.ts'

const stat = { dev: 1, ino: 2, size: 3, mtimeSeconds: 1000, mtimeNanoseconds: 5, ctimeSeconds: 1000, ctimeNanoseconds: 6 }
const digest = (text: string) => hexOf(sha256(text))

test('nothing is kept of a file that was changed within the last two seconds, or in the future', () => {
  expect(isSettled({ mtimeSeconds: 1000, ctimeSeconds: 2000 }, 2_001_500)).toBe(false)
  expect(isSettled({ mtimeSeconds: 5000, ctimeSeconds: 2000 }, 2_010_000)).toBe(false)
  expect(isSettled({ mtimeSeconds: 1000, ctimeSeconds: 2000 }, 2_003_001)).toBe(true)
})

describe('digests of files', () => {
  let store: Store
  let dispose: () => Promise<void>
  beforeEach(async () => {
    ;({ store, dispose } = await temporaryStore())
  })
  afterEach(() => dispose())

  const only = () => join(store.layout.stat, readdirSync(store.layout.stat)[0] as string)
  const open = () => store.fileDigests('/context')

  function written(entries: readonly (readonly [FileStat, string])[]): Buffer {
    const files = open()
    for (const [one, text] of entries) files.set(one, digest(text))
    files.save()
    return readFileSync(only())
  }

  test('every member of a stat counts', () => {
    written([[stat, 'a']])
    expect(open().get(stat)).toBe(digest('a'))
    for (const member of Object.keys(stat) as (keyof typeof stat)[]) {
      expect(open().get({ ...stat, [member]: stat[member] + 1 })).toBeUndefined()
    }
  })

  test('are remembered by context root, and written only when something is new', () => {
    const first = open()
    expect(first.get(stat)).toBeUndefined()
    first.save()
    expect(readdirSync(store.layout.stat)).toEqual([])
    written([[stat, 'a']])
    const before = statSync(only()).ino
    const again = open()
    expect(again.get(stat)).toBe(digest('a'))
    again.save()
    expect(statSync(only()).ino).toBe(before)
    expect(store.fileDigests('/other').get(stat)).toBeUndefined()
  })

  test('a later digest of the same stat replaces the earlier one', () => {
    written([[stat, 'a']])
    written([[stat, 'b']])
    expect(open().get(stat)).toBe(digest('b'))
  })

  test('20,000 files; those that nobody asked for any more are forgotten when there are too many', () => {
    const all = Array.from({ length: 20_000 }, (_, ino) => ({ ...stat, ino: ino * 256, mtimeNanoseconds: ino % 3 }))
    written(all.map((one, index) => [one, String(index)]))
    const known = open()
    for (const [index, one] of all.entries()) expect(known.get(one)).toBe(digest(String(index)))
    const few = (spare: number) => {
      const files = store.fileDigests('/context', { spare })
      files.get(all[7] as FileStat)
      files.set({ ...stat, ino: -1 }, digest('new'))
      files.save()
      return files
    }
    few(20_000)
    expect(open().get(all[8] as FileStat)).toBe(digest('8'))
    few(19_998)
    expect([7, 8].map((index) => open().get(all[index] as FileStat))).toEqual([digest('7'), undefined])
    expect(open().get({ ...stat, ino: -1 })).toBe(digest('new'))
  })

  test('numbers come back as they were, whatever they are', () => {
    const number = fc.oneof(fc.integer(), fc.maxSafeNat(), fc.constant(-1))
    const stats = fc.record({
      ...{ dev: number, ino: number, size: number },
      ...{ mtimeSeconds: number, mtimeNanoseconds: number, ctimeSeconds: number, ctimeNanoseconds: number },
    })
    fc.assert(
      fc.property(fc.uniqueArray(stats, { selector: (one) => JSON.stringify(one), maxLength: 200 }), (all) => {
        written(all.map((one, index) => [one, `${index}`]))
        const known = open()
        return all.every((one, index) => known.get(one) === digest(`${index}`))
      }),
      { numRuns: 30 },
    )
  })

  test('a file that was cut, changed, or is anything else is an empty one', () => {
    const whole = written([
      [stat, 'a'],
      [{ ...stat, ino: 3 }, 'b'],
    ])
    const text = `tbuild-stat 1 ${'0'.repeat(64)}\na\tsha256:1\n`
    const changed = fc.oneof(
      fc.nat({ max: whole.length - 1 }).map((length) => whole.subarray(0, length)),
      fc.tuple(fc.nat({ max: 81 }), fc.integer({ min: 1, max: 255 })).map(([at, by]) => flipped(whole, at, by)),
      fc.tuple(fc.integer({ min: 96, max: whole.length - 1 }), fc.integer({ min: 1, max: 255 })).map(([at, by]) => flipped(whole, at, by)),
      fc.uint8Array({ minLength: 1, maxLength: 300 }).map((more) => Buffer.concat([whole, more])),
      fc.uint8Array({ maxLength: 500 }).map((random) => Buffer.from(random)),
      fc.constantFrom(Buffer.alloc(500), Buffer.from(text), Buffer.concat([whole, whole])),
    )
    fc.assert(
      fc.property(changed, (bytes) => {
        writeFileSync(only(), bytes)
        const files = open()
        expect(files.get(stat)).toBeUndefined()
        expect(isFileDigests(only())).toBe(false)
        files.set(stat, digest('c'))
        files.save()
        return open().get(stat) === digest('c') && isFileDigests(only())
      }),
    )
  })

  test('what is no file, or no sha256', () => {
    expect(isFileDigests(store.layout.stat)).toBe(false)
    expect(isFileDigests(join(store.layout.stat, 'none'))).toBe(false)
    expect(() => open().set(stat, 'abc')).toThrow(TypeError)
  })
})

function flipped(bytes: Buffer, at: number, by: number): Buffer {
  const copy = Buffer.from(bytes)
  copy[at] = (copy[at] as number) ^ by
  return copy
}
