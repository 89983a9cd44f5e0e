import { randomBytes } from 'node:crypto'
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { gunzipSync, gzipSync } from 'node:zlib'
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals'
import { sha256 } from '../../../src/base/digest.ts'
import { openCatalog } from '../../../src/layers/catalog.ts'
import { imageLayers } from '../../../src/layers/image-layers.ts'
import type { Layer, LayerSource, PackedLayer } from '../../../src/layers/types.ts'
import { createSnapshotter } from '../../../src/snapshot/snapshotter.ts'
import { openStore } from '../../../src/store/store.ts'
import type { LayerId, Snapshot } from '../../../src/store/types.ts'
import { MediaType } from '../../../src/values/oci.ts'
import { type CountedCatalog, committed, countedCatalog } from '../../support/catalog.ts'
import { chunks, collect, file, write } from '../tar/items.ts'

let own: CountedCatalog
beforeEach(async () => {
  own = await countedCatalog()
})
afterEach(() => own.dispose())

const { signal } = new AbortController()

/** A layer with one file, and its blob. */
async function packed(name: string, parent: Snapshot = [], id = name.padEnd(32, '0') as LayerId) {
  const tar = await write([file(name, `content of ${name}`)])
  const bytes = gzipSync(tar)
  const layer: PackedLayer = {
    ...{ id, parent, diffId: sha256(tar) },
    descriptor: { mediaType: MediaType.ociLayerGzip, digest: sha256(bytes), size: bytes.length },
  }
  return { layer, bytes, tar }
}

/** A source that counts what it is asked for, and hears of its pull. */
function source(trust: LayerSource['trust'], blobs: readonly Uint8Array[], name: string = trust) {
  const asked: string[] = []
  const told: string[] = []
  const counted: LayerSource & { readonly asked: string[]; readonly told: string[] } = {
    ...{ name, trust, asked, told, origin: `registry/${name}` },
    pull: {
      present: () => told.push('present'),
      started: () => told.push('started'),
      progress: (_layer, _current, done) => done && told.push('layer'),
      done: () => told.push('done'),
      failed: () => told.push('failed'),
    },
    async blob({ digest }) {
      asked.push(digest)
      const bytes = blobs.find((blob) => sha256(blob) === digest)
      if (bytes === undefined) throw new Error('the place is gone')
      return chunks(bytes)
    },
  }
  return counted
}

const known = () => readdirSync(own.store.layout.layers)

describe('what is known of a layer', () => {
  test('is told without a write, also where only an image or a cache knows it', async () => {
    const [one, two] = [await packed('1'), await packed('2')]
    own.catalog.offer([one.layer], source('vouched', []))
    own.catalog.offer([two.layer], source('claimed', []))
    expect(await own.catalog.facts(one.layer.id)).toEqual({ diffId: one.layer.diffId, blobs: [one.layer.descriptor], parent: [] })
    expect(await own.catalog.facts(two.layer.id)).toMatchObject({ diffId: two.layer.diffId })
    expect(await own.catalog.facts('3'.padEnd(32, '0') as LayerId)).toEqual({})
    expect(own.counts.writes).toBe(0)
    expect(known()).toEqual([])
  })

  test('a value of a layer of an image is recorded once, that of a claimed one never: it is only claimed', async () => {
    const [one, two] = [await packed('1'), await packed('2')]
    own.catalog.offer([one.layer], source('vouched', []))
    own.catalog.offer([two.layer], source('claimed', []))
    await own.catalog.open([one.layer.id, two.layer.id])
    await own.catalog.open([one.layer.id, two.layer.id])
    expect(own.counts.writes).toBe(1)
    expect(known()).toEqual([`${one.layer.id}.json`])
  })

  test('where it is: directory, blob, remote or missing, all in one question', async () => {
    const [remote, blob] = [await packed('1'), await packed('2')]
    const directory = await committed(own.snapshots, [file('a', 'a')])
    const missing = '9'.padEnd(32, '0') as LayerId
    own.catalog.offer([remote.layer, blob.layer], source('claimed', [blob.bytes]))
    await own.catalog.keep([blob.layer.id], signal)
    expect([...(await own.catalog.where([directory, blob.layer.id, remote.layer.id, missing])).values()]).toEqual([
      ...['directory', 'blob', 'remote', 'missing'],
    ])
  })
})

describe('a vouched source', () => {
  test('is pulled whole when one of its layers is needed, each once, by callers at the same time and later', async () => {
    const [a, b] = [await packed('1'), await packed('2')]
    const layers = imageLayers([a.layer.diffId, b.layer.diffId], [a.layer.descriptor, b.layer.descriptor])
    const image = source('vouched', [a.bytes, b.bytes])
    own.catalog.offer(layers, image)
    const [bottom, top] = layers.map(({ id }) => id) as [LayerId, LayerId]
    await Promise.all([own.catalog.directories([bottom], signal), own.catalog.directories([bottom, top], signal)])
    const directories = await own.catalog.directories([bottom, top], signal)
    expect(directories.map((directory) => readdirSync(directory))).toEqual([['1'], ['2']])
    expect(image.asked.sort()).toEqual([a.layer.descriptor.digest, b.layer.descriptor.digest].sort())
    expect(image.told).toEqual(['started', 'layer', 'layer', 'done'])
  })

  test('tells its pull that all is there, and of nothing else', async () => {
    const a = await packed('1')
    own.catalog.offer([a.layer], source('vouched', [a.bytes]))
    await own.catalog.directories([a.layer.id], signal)
    const again = source('vouched', [])
    own.catalog.offer([a.layer], again)
    await own.catalog.directories([a.layer.id], signal)
    expect(again.told).toEqual(['present'])
    expect(again.asked).toEqual([])
  })

  test('that sends another tar is wrong with its own error: no source is at fault that could be left out', async () => {
    const [a, other] = [await packed('1'), await packed('2')]
    own.catalog.offer([{ ...a.layer, descriptor: other.layer.descriptor }], source('vouched', [other.bytes]))
    await expect(own.catalog.directories([a.layer.id], signal)).rejects.toMatchObject({ code: 'DIGEST_MISMATCH' })
    expect(own.catalog.failures.size).toBe(0)
  })

  test('is unpacked while it arrives', async () => {
    const tar = await write([file('first', randomBytes(3_000_000)), file('last', randomBytes(3_000_000))])
    const bytes = gzipSync(tar)
    const descriptor = { mediaType: MediaType.ociLayerGzip, digest: sha256(bytes), size: bytes.length }
    const layers = imageLayers([sha256(tar)], [descriptor])
    const first = () => readdirSync(own.store.layout.tmp).some((name) => existsSync(join(own.store.layout.tmp, name, 'fs/first')))
    async function* slowly() {
      yield bytes.subarray(0, 4_000_000)
      while (!first()) await new Promise((resolve) => setTimeout(resolve, 5))
      yield bytes.subarray(4_000_000)
    }
    own.catalog.offer(layers, { ...source('vouched', []), blob: async () => slowly() })
    const [directory = ''] = await own.catalog.directories([(layers[0] as PackedLayer).id], signal)
    expect(readdirSync(directory).sort()).toEqual(['first', 'last'])
  })

  test.each([
    ['whose tar is right', (bytes: Buffer) => Buffer.from(bytes).fill(7, 9, 10)],
    ['that cannot be decompressed', (bytes: Buffer) => Buffer.from(bytes).fill(7)],
    ['that ends too soon', (bytes: Buffer) => bytes.subarray(0, -9)],
  ])('nothing is kept of another blob %s, and that is told', async (_, other) => {
    const a = await packed('1')
    own.catalog.offer([a.layer], { ...source('vouched', []), blob: async () => chunks(other(a.bytes)) })
    const wrong = { code: expect.stringMatching(/^(DIGEST|SIZE)_MISMATCH$/) }
    await expect(own.catalog.directories([a.layer.id], signal)).rejects.toMatchObject(wrong)
    expect(known()).toEqual([])
    expect(readdirSync(own.store.layout.tmp)).toEqual([])
    expect(readdirSync(own.store.layout.blobs)).toEqual([])
  })

  test('where its layers are is asked at once, not for each', async () => {
    const many = await Promise.all(Array.from({ length: 40 }, (_, at) => packed(String(at))))
    const layers = imageLayers(
      many.map(({ layer }) => layer.diffId),
      many.map(({ layer }) => layer.descriptor),
    )
    own.catalog.offer(
      layers,
      source(
        'vouched',
        many.map(({ bytes }) => bytes),
      ),
    )
    const ids = layers.map(({ id }) => id)
    await own.catalog.directories(ids, signal)
    // Once for each that another process may have made meanwhile.
    expect(own.counts.claims).toBeLessThan(ids.length + 5)
    own.counts.claims = 0
    await own.catalog.directories(ids, signal)
    expect(own.counts.claims).toBeLessThan(5)
  })

  test('goes before one that claims, and the last image before others', async () => {
    const a = await packed('1')
    const [cache, first, last] = [source('claimed', []), source('vouched', [], 'first'), source('vouched', [], 'last')]
    own.catalog.offer([a.layer], cache)
    own.catalog.offer([a.layer], first)
    own.catalog.offer([a.layer], last)
    expect(own.catalog.source(a.layer.id)).toBe(last)
    own.catalog.withdraw(last)
    own.catalog.withdraw(first)
    expect(own.catalog.source(a.layer.id)).toBe(cache)
  })
})

describe('a claimed source', () => {
  test('is asked for what is needed only, with what that was made over', async () => {
    const below = await packed('1')
    const [a, b] = [await packed('2', [below.layer.id]), await packed('3', [below.layer.id])]
    const cache = source('claimed', [below.bytes, a.bytes, b.bytes])
    own.catalog.offer([below.layer, a.layer, b.layer], cache)
    await own.catalog.directories([a.layer.id], signal)
    expect(cache.asked).toEqual([below.layer.descriptor.digest, a.layer.descriptor.digest])
  })

  test('is compared before its blob counts: another tar is refused, named and not recorded', async () => {
    const [a, other] = [await packed('1'), await packed('2')]
    const lying: PackedLayer = { ...a.layer, descriptor: other.layer.descriptor }
    const cache = source('claimed', [other.bytes], 'the cache')
    own.catalog.offer([lying], cache)
    const unusable = { code: 'CACHE_LAYER_UNUSABLE', message: expect.stringContaining('the cache the cache cannot be used') }
    await expect(own.catalog.keep([a.layer.id], signal)).rejects.toMatchObject(unusable)
    const [layer] = await own.catalog.open([a.layer.id])
    await expect(layer?.blob()).rejects.toMatchObject(unusable)
    await expect(own.catalog.directories([a.layer.id], signal)).rejects.toMatchObject(unusable)
    expect([...own.catalog.failures.keys()]).toEqual([cache])
    expect(own.catalog.failures.get(cache)).toContain('unpacks to')
    expect(known()).toEqual([])
    expect(cache.asked).toHaveLength(1)
  })

  test('a true blob is compared once, and the store knows it then', async () => {
    const a = await packed('1')
    const cache = source('claimed', [a.bytes])
    own.catalog.offer([a.layer], cache)
    const [layer] = await own.catalog.open([a.layer.id])
    const blobs = await Promise.all([layer?.blob(), layer?.blob(), layer?.blob()])
    expect(blobs.map((blob) => blob?.descriptor)).toEqual([a.layer.descriptor, a.layer.descriptor, a.layer.descriptor])
    expect(blobs[0]?.origin).toBe('registry/claimed')
    expect(cache.asked).toHaveLength(1)
    expect(own.counts.writes).toBe(1)
    expect(own.store.layers.info(a.layer.id)).toEqual({ diffId: a.layer.diffId, blobs: [a.layer.descriptor], parent: [] })
  })

  test('that is withdrawn offers nothing any more, and what others offer stays', async () => {
    const [a, b] = [await packed('1'), await packed('2')]
    const [wrong, right] = [source('claimed', [], 'wrong'), source('claimed', [b.bytes], 'right')]
    own.catalog.offer([a.layer, b.layer], wrong)
    own.catalog.offer([b.layer], right)
    await expect(own.catalog.directories([b.layer.id], signal)).rejects.toMatchObject({ code: 'CACHE_LAYER_UNUSABLE' })
    expect(own.catalog.failures).toEqual(new Map([[wrong, 'the place is gone']]))
    own.catalog.withdraw(wrong)
    expect(own.catalog.failures.size).toBe(0)
    expect([...(await own.catalog.where([a.layer.id, b.layer.id])).values()]).toEqual(['missing', 'remote'])
    await own.catalog.directories([b.layer.id], signal)
    expect(right.asked).toHaveLength(1)
    await expect(own.catalog.directories([a.layer.id], signal)).rejects.toMatchObject({ code: 'SNAPSHOT_MISSING' })
  })

  test('is asked for nothing more when one of its layers is wrong, and nothing of it goes on', async () => {
    const [wrong, other] = [await packed('1'), await packed('2')]
    const more = await Promise.all(['3', '4', '5', '6', '7', '8'].map((name) => packed(name)))
    const lying: PackedLayer = { ...wrong.layer, descriptor: other.layer.descriptor }
    const cache = source('claimed', [other.bytes])
    const { blob } = cache
    let ended = 0
    const slow: LayerSource = {
      ...cache,
      async blob(descriptor, signal) {
        if (descriptor.digest === other.layer.descriptor.digest) return blob(descriptor, signal)
        cache.asked.push(descriptor.digest)
        await new Promise<void>((resolve) => {
          if (signal.aborted) resolve()
          else signal.addEventListener('abort', () => resolve(), { once: true })
          setTimeout(resolve, 1000).unref()
        })
        ended += 1
        throw new Error('ended')
      },
    }
    own.catalog.offer([lying, ...more.map(({ layer }) => layer)], slow)
    const all = [lying, ...more.map(({ layer }) => layer)].map(({ id }) => id)
    await expect(own.catalog.directories(all, signal)).rejects.toMatchObject({ code: 'CACHE_LAYER_UNUSABLE' })
    const { length } = cache.asked
    expect(ended).toBe(length - 1)
    expect(own.catalog.failures.get(slow)).toContain('unpacks to')
    await new Promise((resolve) => setTimeout(resolve, 20))
    expect(cache.asked).toHaveLength(length)
  })

  test('is not at fault when the work was ended', async () => {
    const a = await packed('1')
    const cache = source('claimed', [])
    own.catalog.offer([a.layer], cache)
    await expect(own.catalog.directories([a.layer.id], AbortSignal.abort(new Error('Ctrl-C')))).rejects.not.toMatchObject({
      code: 'CACHE_LAYER_UNUSABLE',
    })
    expect(own.catalog.failures.size).toBe(0)
  })
})

describe('a layer as a value', () => {
  test('diffID and blob are made in one pass, once, shared by callers at the same time', async () => {
    const id = await committed(own.snapshots, [file('a', Buffer.alloc(300_000, 'abc'))])
    const form = { compression: 'gzip' } as const
    const [[a], [b]] = await Promise.all([own.catalog.open([id], form), own.catalog.open([id], form)])
    const [x, y] = await Promise.all([a?.blob(), b?.blob()])
    expect(own.counts.packed).toBe(1)
    expect(x?.descriptor).toEqual(y?.descriptor)
    const bytes = await collect(x?.open() ?? chunks(Buffer.alloc(0)))
    expect(sha256(bytes)).toBe(x?.descriptor.digest)
    expect(sha256(gunzipSync(bytes))).toBe(a?.diffId)
    expect(await own.catalog.facts(id)).toMatchObject({ diffId: a?.diffId, tarSize: gunzipSync(bytes).length })
    expect(a?.created).toBe('2024-01-01T00:00:00Z')
  })

  test('is unpacked from the blob that was made here, though --limit unpack is smaller now', async () => {
    const id = await committed(own.snapshots, [file('a', Buffer.alloc(300_000, 'abc'))])
    const [layer] = (await own.catalog.open([id], { compression: 'gzip' })) as [Layer]
    const { descriptor } = await layer.blob()
    writeFileSync(join(own.store.layers.directory(id), 'boot'), 'a boot before')
    const after = await openStore(own.store.layout.root)
    const limited = (maxBytes: number) => openCatalog({ ...after, snapshots: createSnapshotter(after), maxBytes, signal })
    const [tar] = await limited(1000).open([id], { compression: 'zstd' })
    expect(sha256(await collect(tar?.tar() ?? chunks(Buffer.alloc(0))))).toBe(layer.diffId)
    // The same bytes of somebody else.
    await after.layers.update(id, { blobs: [descriptor] })
    await expect(limited(1000).directories([id], signal)).rejects.toMatchObject({ code: 'TAR_LIMIT' })
    const { mediaType, digest, size } = descriptor
    await after.layers.update(id, { blobs: [{ mediaType, digest, size, annotations: { 'tbuild.gzip.level': '1' } }] })
    expect(await limited(1000).directories([id], signal)).toEqual([after.layers.fs(id)])
    expect(readFileSync(join(after.layers.fs(id), 'a'), 'latin1')).toHaveLength(300_000)
    await after.close()
  })

  test('forgets a blob of an older packing when it is packed again, and no other', async () => {
    const id = await committed(own.snapshots, [file('a', 'a')])
    const { store } = own
    const blob = (content: string, annotations = {}) => ({
      mediaType: MediaType.ociLayerGzip,
      digest: sha256(content),
      size: 4,
      annotations,
    })
    const [old, newer] = [blob('old', { 'tbuild.gzip.level': '4' }), blob('newer', { 'tbuild.gzip.level': '999:1' })]
    await store.layers.update(id, { blobs: [old, newer] })
    const [layer] = await own.catalog.open([id], {})
    expect(store.layers.info(id)?.blobs).toEqual([newer, expect.objectContaining({ digest: (await layer?.blob())?.descriptor.digest })])
  })

  test('of an image is no layer that was made here, whatever its manifest says', () => {
    const descriptor = { mediaType: MediaType.ociLayerGzip, digest: sha256('blob'), size: 4 }
    const annotations = { 'tbuild.gzip.level': '6' }
    expect(imageLayers([sha256('tar')], [{ ...descriptor, annotations }])[0]?.descriptor).toEqual(descriptor)
  })

  test('is opened with one read and nothing else where all is known', async () => {
    const id = await committed(own.snapshots, [file('a', 'a')])
    await own.catalog.open([id], {})
    Object.assign(own.counts, { reads: 0, writes: 0, stats: 0, packed: 0, claims: 0 })
    await own.catalog.open([id], {})
    expect(own.counts).toEqual({ reads: 1, writes: 0, stats: 0, packed: 0, claims: 0 })
  })

  test('the original blob of an image is kept, fetched when it is not there, and not before when it is lazy', async () => {
    const a = await packed('1')
    const image = source('vouched', [a.bytes])
    own.catalog.offer([a.layer], image)
    const [layer] = await own.catalog.open([a.layer.id])
    const lazy = await layer?.blob({ lazy: true })
    expect(lazy).toMatchObject({ descriptor: a.layer.descriptor, origin: 'registry/vouched' })
    expect(image.asked).toEqual([])
    expect((await layer?.blob({ compression: 'uncompressed' }))?.descriptor).toEqual(a.layer.descriptor)
    expect(image.asked).toHaveLength(1)
    const forced = await layer?.blob({ compression: 'uncompressed', force: true })
    expect(forced?.descriptor).toEqual({ mediaType: MediaType.ociLayer, digest: a.layer.diffId, size: a.tar.length })
    expect(await collect((await layer?.blob())?.open() ?? chunks(Buffer.alloc(0)))).toEqual(a.bytes)
    expect(image.asked).toHaveLength(1)
    expect(existsSync(own.store.layers.directory(a.layer.id))).toBe(false)
  })

  test('is had from an image that packed it in another way, where the blob that the store knew is gone', async () => {
    const a = await packed('1')
    await own.store.layers.update(a.layer.id, { diffId: a.layer.diffId, blobs: [a.layer.descriptor], parent: [] })
    const bytes = gzipSync(a.tar, { level: 1 })
    const descriptor = { mediaType: MediaType.ociLayerGzip, digest: sha256(bytes), size: bytes.length + 0 }
    expect(descriptor.digest).not.toBe(a.layer.descriptor.digest)
    own.catalog.offer([{ ...a.layer, descriptor }], source('vouched', [bytes]))
    const [layer] = await own.catalog.open([a.layer.id])
    const lazy = await layer?.blob({ lazy: true })
    expect(lazy?.descriptor).toEqual(descriptor)
    expect(await collect(lazy?.open() ?? chunks(Buffer.alloc(0)))).toEqual(bytes)
    expect(await collect(layer?.tar() ?? chunks(Buffer.alloc(0)))).toEqual(a.tar)
  })

  test('nobody has the original blob: that is said', async () => {
    const a = await packed('1')
    await own.store.layers.update(a.layer.id, { diffId: a.layer.diffId, blobs: [a.layer.descriptor], parent: [] })
    const [layer] = await own.catalog.open([a.layer.id])
    await expect(layer?.blob()).rejects.toMatchObject({ code: 'LAYER_MISSING' })
  })

  test('files that changed in the store are noticed before they leave', async () => {
    const id = await committed(own.snapshots, [file('a', 'before')])
    const [layer] = await own.catalog.open([id])
    const path = join(own.store.layers.fs(id), 'a')
    expect(readFileSync(path, 'utf8')).toBe('before')
    writeFileSync(path, 'after!')
    await expect(layer?.blob({ compression: 'gzip' })).rejects.toMatchObject({ code: 'LAYER_CHANGED' })
    await expect(collect(layer?.tar() ?? chunks(Buffer.alloc(0)))).rejects.toMatchObject({ code: 'LAYER_CHANGED' })
  })

  test('the end of the operation ends its packing, and nothing is recorded', async () => {
    await own.dispose()
    const ended = new AbortController()
    own = await countedCatalog(ended.signal)
    const id = await committed(own.snapshots, [file('a', Buffer.alloc(8_000_000, 'x'))])
    const before = own.counts.writes
    const packing = own.catalog.open([id], {})
    ended.abort(new Error('Ctrl-C'))
    await expect(packing).rejects.toThrow('Ctrl-C')
    expect(own.counts.writes).toBe(before)
    expect(own.store.layers.info(id)?.diffId).toBeUndefined()
  })
})
