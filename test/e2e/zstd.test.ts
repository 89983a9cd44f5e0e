import { execFileSync } from 'node:child_process'
import { createCipheriv, createHash } from 'node:crypto'
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals'
import { zstd } from '../../src/tar/zstd-compress.ts'
import { testWith } from '../support/needs.ts'
import { compileFor, isThere, PROCESSORS, sourcesIn } from '../support/processors.ts'
import { openWorkspace, type Workspace } from '../support/workspace.ts'
import { chunks, collect } from '../unit/tar/items.ts'

const noise = (length: number) => createCipheriv('aes-128-ctr', Buffer.alloc(16, 1), Buffer.alloc(16)).update(Buffer.alloc(length))
const lines = (count: number) => Buffer.from(Array.from({ length: count }, (_, index) => `line ${index * 7919}\n`).join(''))

/** Two pieces, the second of which looks back at the first. */
const DATA = Buffer.concat([lines(150_000), noise(500_000), Buffer.alloc(1_500_000), noise(300_000), lines(30_000)])
/** Every way of searching; the slow ones on the little that programs without optimizations, or in an emulator, get through. */
const CASES: readonly (readonly [number, Buffer])[] = [1, 3, 5, 7, 13, 17, 19].map((level) => [
  level,
  level < 6 ? DATA : DATA.subarray(0, 150_000),
])
const pack = (level: number, data: Buffer) => collect(zstd(chunks(data), { level }))
const run = (command: string, args: readonly string[], input: Buffer) => execFileSync(command, args, { input, maxBuffer: 1 << 26 })

let work: string
beforeAll(() => {
  work = mkdtempSync(join(tmpdir(), 'tbuild-zstd-'))
})
afterAll(() => rmSync(work, { recursive: true, force: true }))

describe('other processors make the same bytes', () => {
  const library = ['common', 'compress'].flatMap((folder) => sourcesIn(`third-party/zstd/lib/${folder}`))
  for (const processor of PROCESSORS) {
    testWith(processor.isHere, processor.need)(
      processor.name,
      async () => {
        const [command, ...args] = compileFor(processor, join(work, 'zstd'), ['test/support/zstd-pieces.c', 'addon/frames.c', ...library])
        for (const [level, data] of CASES) {
          const made = run(command, [...args, `${level}`], data)
          // The checksum of several pieces comes from elsewhere.
          expect(made.equals((await pack(level, data)).subarray(0, made.length))).toBe(true)
          expect(made.length).toBeGreaterThan(1000)
        }
      },
      300_000,
    )
  }
})

describe('an image with layers of zstd', () => {
  let space: Workspace
  beforeAll(() => {
    space = openWorkspace()
    const context = space.context({ Dockerfile: 'FROM scratch\nCOPY data /\n' })
    writeFileSync(join(context, 'data'), DATA)
    for (const name of ['one', 'two']) space.build(['-o', `type=oci,tar=false,dest=${space.path(name)},compression=zstd`, context])
  })
  afterAll(() => space.remove())
  const layer = (name: string) => {
    const blobs = join(space.path(name), 'blobs/sha256')
    const isZstd = (bytes: Buffer) => bytes.readUInt32LE(0) === 0xfd2fb528
    return readdirSync(blobs)
      .map((digest) => readFileSync(join(blobs, digest)))
      .find(isZstd) as Buffer
  }

  test('is the same in every export, and what the zstd command reads', () => {
    const blob = layer('one')
    expect(layer('two').equals(blob)).toBe(true)
    execFileSync('zstd', ['-tq'], { input: blob })
    expect(run('tar', ['-xO', 'data'], run('zstd', ['-dcq'], blob)).equals(DATA)).toBe(true)
  })

  testWith(isThere('skopeo'), 'skopeo')('is what skopeo unpacks', () => {
    const folder = space.path('unpacked')
    execFileSync('skopeo', ['copy', '-q', '--dest-decompress', `oci:${space.path('one')}`, `dir:${folder}`])
    const tar = run('zstd', ['-dcq'], layer('one'))
    expect(readFileSync(join(folder, createHash('sha256').update(tar).digest('hex'))).equals(tar)).toBe(true)
  })
})
