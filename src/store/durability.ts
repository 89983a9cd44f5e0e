import { closeSync, openSync, readFileSync } from 'node:fs'
import { type FileHandle, open } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { Worker } from 'node:worker_threads'
import { errorCode } from '../base/errors.ts'
import { allInParallel } from '../base/in-parallel.ts'
import { inUserNamespace, mayMount, outerRoot } from '../base/privileges.ts'
import { randomHex } from '../base/random.ts'
import { nativeFolder, sys } from '../base/sys.ts'
import { idMap } from '../values/id-map.ts'
import { storeError } from './store-error.ts'

/**
 * What survives what. `kill -9` loses nothing that was written: the page cache belongs to the kernel. A power cut loses or tears whatever was not
 * synced. A layer has too many files to fsync each (0.6 ms apiece), so a layer is marked with the id of the boot that wrote it: good in that boot. At
 * the end of a build one syncfs(2) makes everything durable, and its layers are marked so. After a power cut a layer with neither mark is
 * treated as absent; where its blob is in the store it is unpacked again, otherwise a record that needs it is a miss. So a build that has left a blob of
 * each layer need not wait until the disk has taken the directories, too: then only what is known of them is synced, and a later build marks them.
 */
const DURABLE = 'durable'

let current: string | undefined
let form: string | undefined

/**
 * Root without CAP_SYS_ADMIN in the machine's own user namespace sees no `trusted.` attribute, and makes opaque directories by others, which an overlay
 * of the real root does not heed: what the one wrote is no layer for the other, where they share a store. Nor do owners on disk mean the same where other
 * ids are mapped, as when a user gets ranges, loses them, or they are moved: such a layer is treated as absent too, and made again.
 */
function formOfMarks(): string {
  if (form === undefined) {
    const attributes = process.geteuid?.() !== 0 || outerRoot() !== 0 || (mayMount() && !inUserNamespace()) ? '' : ' user'
    form = idMap().text === '' ? attributes : `${attributes} ${idMap().text}`
  }
  return form
}

/** The mark of a layer that was written in this boot. */
export const bootMark = (): string => bootId() + formOfMarks()
/** The mark of a layer that survives. */
export const durableMark = (): string => DURABLE + formOfMarks()

/** The id of the running boot. Where the kernel does not tell, nothing but durable layers is trusted by other processes. */
function bootId(): string {
  if (current === undefined) {
    try {
      current = readFileSync('/proc/sys/kernel/random/boot_id', 'latin1').trim()
    } catch {
      current = randomHex(16)
    }
  }
  return current
}

// In a thread, since it takes as long as the disk needs for all that was written. It only calls one function of the addon.
const SYNC = `
const { workerData } = require('node:worker_threads')
const native = { exports: {} }
process.dlopen(native, workerData.addon)
native.exports.syncfs(workerData.fd)
`

/** Dirty bytes that a disk takes within milliseconds: sooner than a thread starts (30 ms). */
const LITTLE = 16 * 1024 * 1024

/** True when a sync of everything is over before it is noticed. */
export const isSyncShort = (): boolean => dirtyBytes() < LITTLE

/** syncfs(2) of the file system that holds `directory`, on this thread or, when it may take long, on another. */
export async function syncFileSystem(directory: string): Promise<void> {
  const fd = openSync(directory, 'r')
  try {
    if (isSyncShort()) sys().syncfs(fd)
    else await syncInThread(fd)
  } catch (error) {
    throw storeError(error, 'be written to disk')
  } finally {
    closeSync(fd)
  }
}

/** What the kernel has still to write, of all file systems; infinite where it does not tell. */
function dirtyBytes(): number {
  try {
    const text = readFileSync('/proc/meminfo', 'latin1')
    const kibibytes = (name: string) => Number(new RegExp(`^${name}:\\s+(\\d+) kB$`, 'm').exec(text)?.[1] ?? Number.POSITIVE_INFINITY)
    return (kibibytes('Dirty') + kibibytes('Writeback')) * 1024
  } catch {
    return Number.POSITIVE_INFINITY
  }
}

/** Exported for its test: which way is taken depends on the machine. */
export async function syncInThread(fd: number): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    const worker = new Worker(SYNC, { eval: true, workerData: { fd, addon: join(nativeFolder(), 'sys.node') }, execArgv: [] })
    worker.once('error', reject)
    worker.once('exit', () => resolve())
  })
}

/** Small files that an operation wrote and did not sync, such as its records, and those of others that it counts on. */
export class UnsyncedFiles {
  readonly #paths = new Set<string>()
  readonly #synced = new Set<string>()

  /** It was written. */
  readonly add = (path: string): void => {
    this.#paths.add(path)
  }

  /** It is there, and who wrote it may not have synced it yet, or never: another build that runs, or was killed. */
  need(path: string): void {
    if (!this.#synced.has(path)) this.#paths.add(path)
  }

  /** Makes all of them durable by other means. Where that fails they are as before. */
  async by(sync: (paths: readonly string[]) => Promise<void>): Promise<void> {
    const paths = [...this.#paths]
    this.#paths.clear()
    try {
      await sync(paths)
    } catch (error) {
      for (const path of paths) this.#paths.add(path)
      throw error
    }
    for (const path of paths) this.#synced.add(path)
  }

  /** Each and its name, the files first; what is gone since is passed over. */
  sync(): Promise<void> {
    return this.by(syncPaths)
  }
}

async function syncPaths(paths: readonly string[]): Promise<void> {
  const folders = [...new Set(paths.map((path) => dirname(path)))]
  try {
    for (const some of [paths, folders]) {
      const jobs = some.map((path) => () => syncPath(path))
      await allInParallel(jobs, PARALLEL_SYNCS)
    }
  } catch (error) {
    throw storeError(error, 'be written to disk')
  }
}

/** The file system makes one transaction of those that wait together; the other threads of libuv's pool are for work. */
const PARALLEL_SYNCS = 2

async function syncPath(path: string): Promise<void> {
  const file = await open(path, 'r').catch((error: unknown) => {
    if (errorCode(error) === 'ENOENT') return undefined
    throw error
  })
  await file?.sync().finally(() => file.close())
}

let turn: Promise<unknown> = Promise.resolve()

/** fdatasync(2), one file at a time: several that wait for one disk would keep all threads of libuv's pool from their work. */
export function syncFile(file: FileHandle): Promise<void> {
  const done = turn.then(() => file.datasync())
  turn = done.catch(() => {})
  return done
}

/** Bytes that are worth a request to the disk. */
const REQUEST = 8 * 1024 * 1024

/** Of all files: the disk takes one after the other, and who asks may be kept waiting. */
let isAsking = false

/** Makes the disk begin with what a file has so far while more is being made, so that a sync at its end finds little to do. */
export class EarlyWriteback {
  readonly #fd: number
  #begun = 0

  constructor(fd: number) {
    this.#fd = fd
  }

  /** The first `size` bytes are written. */
  reached(size: number): void {
    if (isAsking || size - this.#begun < REQUEST) return
    isAsking = true
    const from = this.#begun
    this.#begun = size
    // What is wrong with the disk is said by the sync.
    const ended = () => {
      isAsking = false
    }
    sys()
      .startWriteback(this.#fd, from, size - from)
      .then(ended, ended)
  }
}
