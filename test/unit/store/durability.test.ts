import { closeSync, existsSync, openSync, readFileSync, readlinkSync, writeFileSync } from 'node:fs'
import { type FileHandle, open } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { afterEach, beforeEach, describe, expect, jest, test } from '@jest/globals'
import { sha256 } from '../../../src/base/digest.ts'
import { createSnapshotter } from '../../../src/snapshot/snapshotter.ts'
import { bootMark, syncInThread, UnsyncedFiles } from '../../../src/store/durability.ts'
import { imageFileName } from '../../../src/store/image-index.ts'
import { openStore } from '../../../src/store/store.ts'
import type { LayerId } from '../../../src/store/types.ts'
import type { Descriptor } from '../../../src/values/oci.ts'
import { temporaryStore } from '../../suites/temporary-store.ts'

test('a thread syncs a file system, and says when it cannot', async () => {
  const fd = openSync(tmpdir(), 'r')
  await syncInThread(fd)
  closeSync(fd)
  await expect(syncInThread(987654)).rejects.toMatchObject({ code: 'EBADF' })
})

test('flush marks what this process made and what it used of others', async () => {
  const { store, root, dispose } = await temporaryStore()
  const mark = (id: LayerId) => readFileSync(join(store.layers.directory(id), 'boot'), 'utf8')
  const snapshots = createSnapshotter(store)
  const [mine, unused] = [await snapshots.commit(await snapshots.prepare([])), await snapshots.commit(await snapshots.prepare([]))]
  expect(mark(mine)).toBe(bootMark())
  const other = await openStore(root)
  await createSnapshotter(other).directories([mine])
  await other.flush()
  expect([mark(mine), mark(unused)]).toEqual(['durable', bootMark()])
  await store.flush()
  expect(mark(unused)).toBe('durable')
  await other.close()
  await dispose()
})

const handle = async () => {
  const file = await open(tmpdir(), 'r')
  await file.close()
  return Object.getPrototypeOf(file) as FileHandle
}

/** Paths in the order in which they are synced, until the image has its name. */
async function syncedBefore(image: string, work: () => Promise<void>): Promise<string[]> {
  const synced: string[] = []
  const prototype = await handle()
  const { sync } = prototype
  const spy = jest.spyOn(prototype, 'sync').mockImplementation(async function (this: FileHandle) {
    if (!existsSync(image)) synced.push(readlinkSync(`/proc/self/fd/${this.fd}`))
    await sync.call(this)
  })
  await work().finally(() => spy.mockRestore())
  return synced
}

describe('a build that leaves more than a disk takes at once', () => {
  let made: Awaited<ReturnType<typeof temporaryStore>>
  beforeEach(async () => {
    made = await temporaryStore()
  })
  afterEach(() => made.dispose())
  const mark = (id: LayerId) => readFileSync(join(made.store.layers.directory(id), 'boot'), 'utf8')

  /** A layer that was packed, as far as the store can see. */
  async function layer(blobs: readonly Descriptor[]): Promise<LayerId> {
    const { store } = made
    const snapshots = createSnapshotter(store)
    const id = await snapshots.commit(await snapshots.prepare([]), { info: { parent: [] } })
    await store.layers.update(id, { diffId: sha256('tar'), blobs })
    return id
  }

  async function blob(): Promise<Descriptor> {
    return { mediaType: 'application/vnd.oci.image.layer.v1.tar+gzip', ...(await made.store.blobs.put(Buffer.from('blob'))) }
  }

  test('does not wait for the directory of a layer whose blob is durable, which is the layer after a power cut', async () => {
    const { store, root } = made
    const id = await layer([await blob()])
    await store.flush({ isShort: false })
    expect(mark(id)).toBe(bootMark())
    // The next boot: the directory may be torn, and is not looked at.
    writeFileSync(join(store.layers.directory(id), 'boot'), '11111111-1111-1111-1111-111111111111')
    const next = await openStore(root)
    expect([...(await next.layers.claim([id])).values()]).toEqual(['blob'])
    await next.close()
  })

  test('waits for all where one has no blob, and a later flush that finds little to do marks the others', async () => {
    const { store } = made
    const [packed, unpacked] = [await layer([await blob()]), await layer([])]
    await store.flush({ isShort: false })
    expect([mark(packed), mark(unpacked)]).toEqual(['durable', 'durable'])
    const later = await layer([await blob()])
    await store.flush({ isShort: false })
    expect(mark(later)).toBe(bootMark())
    await store.flush({ isShort: true })
    expect(mark(later)).toBe('durable')
  })

  test('syncs what is known of a layer that is a blob alone, once', async () => {
    const { store } = made
    const times = (await store.blobs.put(Buffer.from('times'))).digest
    const id = 'a'.repeat(32) as LayerId
    await store.layers.update(id, { diffId: sha256('tar'), parent: [], times, blobs: [await blob()] })
    const needed = store.layers.neededFile(id)
    expect(needed).toBe(`${store.layers.directory(id)}.json`)
    const info = () => synced.filter((path) => path === needed)
    const synced = await syncedBefore('no image', () => store.flush({ isShort: false }))
    expect(info()).toHaveLength(1)
    synced.push(...(await syncedBefore('no image', () => store.flush({ isShort: false }))))
    expect(info()).toHaveLength(1)
    await store.flush({ isShort: true })
    expect(store.layers.unsynced()).toEqual([])
  })

  test('does not take a blob for the layer that is gone', async () => {
    const { store } = made
    const packed = await blob()
    const id = await layer([packed])
    await store.blobs.delete(packed.digest)
    await store.flush({ isShort: false })
    expect(mark(id)).toBe('durable')
  })
})

describe('an image', () => {
  test('gets its name when what finds its parts is durable, also where another build wrote that and has not ended', async () => {
    const { store, root, dispose } = await temporaryStore()
    const snapshots = createSnapshotter(store)
    const id = await snapshots.commit(await snapshots.prepare([]), { info: { parent: [] } })
    const put = await store.blobs.put(Buffer.from('blob'))
    const mediaType = 'application/vnd.oci.image.layer.v1.tar+gzip'
    await store.layers.update(id, { diffId: sha256('tar'), blobs: [{ mediaType, ...put }] })
    const other = await openStore(root)
    await createSnapshotter(other).directories([id])
    await other.flush({ isShort: false })
    const platform = { os: 'linux', architecture: 'amd64' }
    const record = {
      name: 'a',
      config: put.digest,
      layers: [{ id, diffId: sha256('tar') }],
      platform,
      created: '2026-01-01T00:00:00Z',
      size: 1,
    }
    const file = (name: string) => join(store.layout.images, imageFileName(name))
    const info = `${store.layers.directory(id)}.json`
    const blob = store.blobs.path(put.digest)
    const synced = await syncedBefore(file('a'), () => other.images.set(record))
    expect(synced.slice(0, 2).sort()).toEqual([info, blob].sort())
    expect(synced.slice(2).sort()).toEqual([dirname(info), dirname(blob)].sort())
    // Once an operation; and nothing of a layer whose directory survives.
    expect(await syncedBefore(file('b'), () => other.images.set({ ...record, name: 'b' }))).toEqual([])
    await store.flush({ isShort: true })
    expect(await syncedBefore(file('c'), () => store.images.set({ ...record, name: 'c' }))).toEqual([blob, dirname(blob)])
    await other.close()
    await dispose()
  })
})

test('files that were written and are gone since are passed over, what cannot be synced is said, and is still to be synced', async () => {
  const { root, dispose } = await temporaryStore()
  const files = new UnsyncedFiles()
  writeFileSync(join(root, 'there'), 'x')
  files.add(join(root, 'there'))
  files.add(join(root, 'gone'))
  await files.sync()
  files.add(join(root, 'there', 'is a file'))
  await expect(files.sync()).rejects.toThrow('be written to disk')
  await expect(files.by((paths) => Promise.reject(new Error(paths.join())))).rejects.toThrow('is a file')
  await expect(files.sync()).rejects.toThrow('be written to disk')
  await dispose()
  await files.sync()
})
