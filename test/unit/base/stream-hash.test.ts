import { closeSync, mkdtempSync, openSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from '@jest/globals'
import fc from 'fast-check'
import { sha256 } from '../../../src/base/digest.ts'
import { hashFile, StreamHash } from '../../../src/base/stream-hash.ts'
import { sys } from '../../../src/base/sys.ts'

const MIB = 1024 * 1024
const { signal } = new AbortController()

test('a stream has the digest of its bytes, however they are cut', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(fc.uint8Array({ maxLength: 300_000 }), { maxLength: 12 }), async (pieces) => {
      const hash = new StreamHash()
      for (const piece of pieces) await hash.add(piece)
      expect(await hash.finish()).toBe(sha256(Buffer.concat(pieces)))
    }),
    { numRuns: 30 },
  )
})

test('whoever adds faster than is hashed is told to wait, and so memory is bounded', async () => {
  const piece = Buffer.alloc(MIB, 'x')
  const hash = new StreamHash()
  let added = 0
  let full: Promise<void> | undefined
  for (; full === undefined; added += 1) full = hash.add(piece)
  expect(added).toBeLessThanOrEqual(4)
  await full
  expect(await hash.finish()).toBe(sha256(Buffer.concat(Array.from({ length: added }, () => piece))))
})

test('what cannot be hashed is told at the end, however early it was refused', async () => {
  const hash = new StreamHash()
  hash.add('text' as never)
  await expect(hash.finish()).rejects.toThrow(/Uint8Arrays/)
})

test('the digest of a file is that of as many bytes as are wanted, or as it has', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'tbuild-hash-'))
  const content = Buffer.alloc(20 * MIB, 'text ')
  writeFileSync(join(folder, 'f'), content)
  const fd = openSync(join(folder, 'f'), 'r')
  expect(await hashFile(fd, content.length, signal)).toBe(sha256(content))
  expect(await hashFile(fd, 9 * MIB + 1, signal)).toBe(sha256(content.subarray(0, 9 * MIB + 1)))
  expect(await hashFile(fd, 1000 * MIB, signal)).toBe(sha256(content))
  await expect(hashFile(fd, 1, AbortSignal.abort(new Error('ended')))).rejects.toThrow('ended')
  closeSync(fd)
  rmSync(folder, { recursive: true })
})

test('a hash is one stream: it is neither updated twice at once nor after its end', async () => {
  const hash = sys().sha256Begin()
  const first = sys().sha256Update(hash, [Buffer.alloc(MIB)])
  expect(() => sys().sha256Update(hash, [Buffer.alloc(1)])).toThrow(/is being updated/)
  expect(() => sys().sha256End(hash)).toThrow(/is being updated/)
  await first
  sys().sha256End(hash)
  expect(() => sys().sha256Update(hash, [Buffer.alloc(1)])).toThrow(/has ended/)
  expect(() => sys().sha256Update({} as never, [])).toThrow(/another kind/)
  expect(() => sys().sha256Update(sys().sha256Begin(), ['x' as never])).toThrow(/Uint8Arrays/)
})
