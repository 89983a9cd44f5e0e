import { execFileSync } from 'node:child_process'
import { closeSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { build } from 'esbuild'
import fc from 'fast-check'
import { layerTar } from '../../../src/layers/layer-tar.ts'
import type { TarItem } from '../../../src/tar/types.ts'
import { writeTar } from '../../../src/tar/write.ts'
import { layerChanges } from '../../../src/tree/diff.ts'
import { layeredView } from '../../../src/tree/view.ts'
import { temporary } from '../tree/folders.ts'

const { folder, shell } = temporary()

async function joined(chunks: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const all: Uint8Array[] = []
  for await (const chunk of chunks) all.push(chunk)
  return Buffer.concat(all)
}

/** The members one after the other, each file read alone. */
async function* oneByOne(upper: string): AsyncGenerator<TarItem> {
  for await (const { entry, open } of layerChanges(upper, layeredView([]))) {
    const fd = open?.()
    const data = fd === undefined ? Buffer.alloc(0) : readFileSync(fd)
    if (fd !== undefined) closeSync(fd)
    yield { entry, content: contentOf(data) }
  }
}
async function* contentOf(data: Buffer) {
  if (data.length > 0) yield data
}

const batched = (upper: string) => joined(layerTar(layerChanges(upper, layeredView([]), { plain: true })))

test('files of all kinds and sizes, read many at once, give the tar that they give one by one', async () => {
  const upper = folder('upper')
  shell(
    'for d in a b a/c; do mkdir $d; for i in $(seq 200); do echo $d$i > $d/f$i; done; done; : > empty; ln -s f1 a/link; ln a/f1 b/hard; mkfifo pipe',
    upper,
  )
  for (const size of [1, 511, 512, 513, 65535, 65536, 65537, 524288, 700_000])
    writeFileSync(join(upper, `s${size}`), Buffer.alloc(size, `${size} `))
  truncateSync(join(upper, 's513'), 3_000_000)
  const capability = '0x0100000200040000000000000000000000000000'
  shell(
    `setfattr -n user.note -v kept a/f2; setfattr -n security.capability -v ${capability} a/f9 b/f200 s511 s700000; chmod 4751 a/f4`,
    upper,
  )
  shell(`ln -s f1 "$(printf 'long%0200d' 1)"; echo x > "$(printf 'x%0180d' 1)"; echo y > "$(printf '\\377y')"`, upper)
  const tar = await batched(upper)
  expect(tar.equals(await joined(writeTar(oneByOne(upper))))).toBe(true)
  expect(tar.includes('SCHILY.xattr.security.capability')).toBe(true)
  expect(execFileSync('tar', ['tf', '-'], { input: tar, encoding: 'latin1' })).toContain('a/c/f200\n')
})

test('whatever the sizes, in whatever order', async () => {
  const size = fc.oneof(fc.nat(2000), fc.constantFrom(0, 512, 65024, 65536, 65537, 130_000))
  await fc.assert(
    fc.asyncProperty(fc.array(size, { maxLength: 40 }), fc.array(fc.nat(40), { maxLength: 3 }), async (sizes, attributed) => {
      const upper = folder('sizes')
      for (const [index, bytes] of sizes.entries()) writeFileSync(join(upper, `f${index}`), Buffer.alloc(bytes, `${index},`))
      const marked = attributed.filter((index) => index < sizes.length).map((index) => `f${index}`)
      if (marked.length > 0)
        execFileSync('setfattr', ['-n', 'security.capability', '-v', `0x01000002${'00'.repeat(16)}`, ...marked], { cwd: upper })
      expect((await batched(upper)).equals(await joined(writeTar(oneByOne(upper))))).toBe(true)
    }),
    { numRuns: 25 },
  )
})

/** In a process of its own: this one would not be ended by what nobody listens to. */
const SLOW_READER = `
  import { truncateSync } from 'node:fs'
  import { setTimeout as sleep } from 'node:timers/promises'
  import { layerTar } from './src/layers/layer-tar.ts'
  import { layerChanges } from './src/tree/diff.ts'
  import { layeredView } from './src/tree/view.ts'
  const upper = process.argv[2]
  async function* slowly() {
    for await (const change of layerChanges(upper, layeredView([]), { plain: true })) {
      if (change.entry.name.toString() === 'f40') truncateSync(upper + '/f40', 1)
      yield change
      await sleep(5)
    }
  }
  try {
    for await (const chunk of layerTar(slowly()));
  } catch (error) {
    console.log(error.code)
  }`

test('an error is told to who reads the tar, also when it comes while nobody waits for it', async () => {
  const upper = folder('many')
  for (let at = 10; at < 70; at += 1) writeFileSync(join(upper, `f${at}`), Buffer.alloc(60_000, `${at} `))
  const resolveDir = join(import.meta.dirname, '../../..')
  // Inside of the package: it finds the addon from where it stands.
  const outfile = join(resolveDir, 'node_modules/.cache', `tbuild-slow-reader-${process.pid}.mjs`)
  await build({ stdin: { contents: SLOW_READER, resolveDir, loader: 'ts' }, outfile, bundle: true, platform: 'node', format: 'esm' })
  try {
    expect(execFileSync(process.execPath, [outfile, upper], { encoding: 'utf8' })).toBe('TAR_SIZE_MISMATCH\n')
  } finally {
    rmSync(outfile)
  }
})

test.each([
  [100_000, 60_000],
  [524_288, 0],
  [480_000, 60_000],
  [600_000, 0],
  [600_000, 60_000],
  [600_000, 80_000],
])('a name of %d bytes and a content of %d stand whole in the tar, whatever is around them', async (bytes, size) => {
  const upper = folder('long-names')
  for (const name of ['before', 'long', 'rest']) writeFileSync(join(upper, name), Buffer.alloc(60_000, name))
  writeFileSync(join(upper, 'long'), Buffer.alloc(size, 'long'))
  const renamed = async function* () {
    for await (const change of layerChanges(upper, layeredView([]), { plain: true })) {
      const isLong = change.entry.name.toString() === 'long'
      yield isLong ? { ...change, entry: { ...change.entry, name: Buffer.from(`${'n/'.repeat(bytes / 2)}n`) } } : change
    }
  }
  const exact = async function* () {
    for await (const { entry, open } of renamed()) {
      const fd = open?.()
      yield { entry, content: contentOf(fd === undefined ? Buffer.alloc(0) : readFileSync(fd)) }
      if (fd !== undefined) closeSync(fd)
    }
  }
  expect((await joined(layerTar(renamed()))).equals(await joined(writeTar(exact())))).toBe(true)
})

test.each([10, 100_000])('a file of %d bytes that changed since it was listed is an error', async (size) => {
  const upper = folder('changing')
  const file = join(upper, 'f')
  writeFileSync(file, Buffer.alloc(size, 'x'))
  const changing = async function* () {
    for await (const change of layerChanges(upper, layeredView([]), { plain: true })) {
      writeFileSync(file, Buffer.alloc(size - 1, 'y'))
      yield change
    }
  }
  await expect(joined(layerTar(changing()))).rejects.toThrow(expect.objectContaining({ code: 'TAR_SIZE_MISMATCH' }))
})
