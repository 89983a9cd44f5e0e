import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, utimesSync, writeFileSync } from 'node:fs'
import { mkdtemp } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterEach, beforeEach, expect, test } from '@jest/globals'
import { type Digest, hexOf, sha256 } from '../../src/base/digest.ts'
import { localBackend } from '../../src/cache/backends.ts'
import type { CacheManifest } from '../../src/cache/cache-manifest.ts'
import { tryFlockDirectory } from '../../src/store/flock.ts'
import { layoutBlobs } from '../../src/store/image-layout.ts'
import { MediaType } from '../../src/values/oci.ts'

/** A directory that holds caches and is shared: by builds at the same time, and with what killed ones left. */
let directory = ''
let folder = ''
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'tbuild-cache-directory-'))
  folder = join(directory, 'blobs/sha256')
})
afterEach(() => rmSync(directory, { recursive: true, force: true }))

const CONFIG = 'application/vnd.buildkit.cacheconfig.v0'

/** A cache whose config takes a while to be written, as layers do. */
function cacheOf(text: string): CacheManifest {
  const config = { mediaType: CONFIG, digest: sha256(text), size: text.length }
  const bytes = Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType: MediaType.ociManifest, config, layers: [] }))
  const open = async function* () {
    await sleep(100)
    yield Buffer.from(text)
  }
  return {
    descriptor: { mediaType: MediaType.ociManifest, digest: sha256(bytes), size: bytes.length },
    bytes,
    blobs: [{ descriptor: config, open }],
  }
}

const write = (text: string, tag: string, signal = new AbortController().signal) =>
  localBackend(directory, { tag }).put(cacheOf(text), { signal, isDamaged: false })

/** The config of the cache under a tag. */
async function read(tag: string): Promise<string> {
  const place = localBackend(directory, { tag })
  const { signal } = new AbortController()
  const { config } = JSON.parse((await place.root(signal)).toString('utf8')) as { config: { digest: Digest } }
  return readFileSync(join(folder, hexOf(config.digest)), 'utf8')
}

test('two builds that write under different tags leave both caches', async () => {
  await Promise.all([write('one', 'a'), sleep(30).then(() => write('two', 'b'))])
  expect([await read('a'), await read('b')]).toEqual(['one', 'two'])
})

test('two builds over an older cache: neither takes the blobs of the other for those of the older one', async () => {
  await write('zero', 'a')
  await Promise.all([write('one', 'a'), sleep(30).then(() => write('two', 'b'))])
  expect([await read('a'), await read('b')]).toEqual(['one', 'two'])
})

test('blobs are written side by side, four at most, each once, and one that fails leaves no cache that names it', async () => {
  const cache = cacheOf('config')
  let [open, most, opened] = [0, 0, 0]
  const blob = (text: string) => ({
    descriptor: { mediaType: MediaType.ociLayerGzip, digest: sha256(text), size: text.length },
    async *open() {
      open += 1
      opened += 1
      most = Math.max(most, open)
      await sleep(50)
      open -= 1
      yield Buffer.from(text)
    },
  })
  const layers = [...'abcdefgh', 'a'].map(blob)
  const { signal } = new AbortController()
  const options = { signal, isDamaged: false }
  const wrong = { ...blob('wrong'), open: blob('other').open }
  const place = localBackend(directory, { tag: 'a' })
  await expect(place.put({ ...cache, blobs: [wrong, ...layers] }, options)).rejects.toMatchObject({ code: 'DIGEST_MISMATCH' })
  expect([existsSync(join(directory, 'index.json')), open]).toEqual([false, 0])
  opened = 0
  rmSync(folder, { recursive: true })
  await place.put({ ...cache, blobs: [...cache.blobs, ...layers] }, options)
  expect([await read('a'), most, opened]).toEqual(['config', 4, 8])
  expect(readdirSync(folder)).toHaveLength(10)
})

test('a build that waits for another can be ended', async () => {
  const lock = tryFlockDirectory(directory)
  const stop = new AbortController()
  const waiting = write('one', 'a', stop.signal)
  await sleep(30)
  stop.abort()
  await expect(waiting).rejects.toMatchObject({ code: 'CANCELED' })
  lock?.release()
  await write('one', 'a')
  expect(await read('a')).toBe('one')
})

test('what a killed build of the same process id left is in nobody’s way', async () => {
  mkdirSync(folder, { recursive: true })
  for (let count = 0; count < 4; count++) writeFileSync(join(folder, `.${process.pid}.${count}.tmp`), 'half')
  await write('one', 'a')
  expect(await read('a')).toBe('one')
})

test('what was left long ago is removed; what is new may still be written, and what has another name is not ours', async () => {
  mkdirSync(folder, { recursive: true })
  const names = ['.7.0.tmp', `.${'a'.repeat(64)}.0123456789ab.tmp`, '.0123456789abcdef.tmp', 'notes.tmp', '.hidden']
  for (const name of names) writeFileSync(join(folder, name), 'half')
  writeFileSync(join(directory, '.index.json.7.tmp'), 'half')
  const old = Date.now() / 1000 - 2 * 86_400
  for (const name of names) if (name !== '.7.0.tmp') utimesSync(join(folder, name), old, old)
  utimesSync(join(directory, '.index.json.7.tmp'), old, old)
  await write('one', 'a')
  expect(
    readdirSync(folder)
      .filter((name) => !/^[0-9a-f]{64}$/.test(name))
      .sort(),
  ).toEqual(['.7.0.tmp', '.hidden', 'notes.tmp'])
  expect(existsSync(join(directory, '.index.json.7.tmp'))).toBe(false)
})

test('what the operating system refuses there is not the fault of the store', async () => {
  const blobs = layoutBlobs(directory)
  await expect(blobs.put(Buffer.from('x'))).rejects.toMatchObject({ code: 'SYSTEM' })
  mkdirSync(join(directory, 'blobs'))
  writeFileSync(folder, 'a file')
  await expect(blobs.read(sha256('x'), 10)).rejects.toMatchObject({ code: 'SYSTEM' })
})
