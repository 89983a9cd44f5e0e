import { execFileSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect } from '@jest/globals'
import { gzip } from '../../src/tar/gzip.ts'
import { writeTar } from '../../src/tar/write.ts'
import { testWith } from '../support/needs.ts'
import { compileFor, isThere, PROCESSORS, sourcesIn } from '../support/processors.ts'
import { chunks, collect, file } from '../unit/tar/items.ts'

const LEVELS = [1, 3, 9]

const noise = Buffer.concat(Array.from({ length: 10_000 }, (_, index) => createHash('sha256').update(`${index}`).digest()))
const FILES = [
  file('text', Array.from({ length: 60_000 }, (_, index) => `line ${index * 7919}\n`).join('')),
  file('noise', noise),
  file('zeros', Buffer.alloc(1_500_000)),
  file('both', Buffer.concat([noise.subarray(0, 70_000), Buffer.alloc(100_000, 'ab'), noise.subarray(0, 40_000)])),
]

let work: string
let tar: Buffer
beforeAll(async () => {
  work = mkdtempSync(join(tmpdir(), 'tbuild-gzip-'))
  tar = await collect(writeTar(FILES.map(({ entry, data }) => ({ entry, content: chunks(data) }))))
})
afterAll(() => rmSync(work, { recursive: true, force: true }))

const pack = (level: number) => collect(gzip(chunks(tar), { level }))
const run = (command: string, args: readonly string[], input: Buffer) => execFileSync(command, args, { input, maxBuffer: 1 << 26 })

describe('independent readers', () => {
  const READERS = { gzip: ['-dc'], pigz: ['-dc'], busybox: ['gunzip', '-c'], igzip: ['-dc'] }
  for (const [command, args] of Object.entries(READERS)) {
    testWith(isThere(command), command)(`${command} reads every level`, async () => {
      for (const level of [0, ...LEVELS]) expect(run(command, args, await pack(level)).equals(tar)).toBe(true)
    })
  }

  // In the mode of a stream tarfile reads one member only: what comes behind it would be missing without a word.
  testWith(isThere('python3'), 'python3')('tarfile of Python reads it as a file and as a stream', async () => {
    const script = `import hashlib, io, sys, tarfile
data = sys.stdin.buffer.read()
for mode in ('r:gz', 'r|gz'):
    for member in (archive := tarfile.open(fileobj=io.BytesIO(data), mode=mode)):
        print(member.name, hashlib.sha256(archive.extractfile(member).read()).hexdigest())`
    const expected = FILES.map(({ entry, data }) => `${entry.name} ${createHash('sha256').update(data).digest('hex')}\n`).join('')
    for (const level of LEVELS) expect(run('python3', ['-c', script], await pack(level)).toString()).toBe(expected.repeat(2))
  })
})

describe('other processors make the same bytes', () => {
  const SOURCES = ['test/support/deflate-blocks.c', 'addon/blocks.c', 'addon/pieces.c', ...sourcesIn('third-party/libdeflate')]
  for (const processor of PROCESSORS) {
    testWith(processor.isHere, processor.need)(processor.name, async () => {
      const [command, ...args] = compileFor(processor, join(work, 'deflate'), SOURCES)
      // Without the header of 10 bytes and the trailer of 8.
      for (const level of [0, ...LEVELS]) {
        expect(run(command, [...args, `${level}`], tar).equals((await pack(level)).subarray(10, -8))).toBe(true)
      }
    })
  }
})
