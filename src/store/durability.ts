import { randomUUID } from 'node:crypto'
import { closeSync, openSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { Worker } from 'node:worker_threads'
import { inUserNamespace, mayMount, outerRoot } from '../base/privileges.ts'
import { nativeFolder, sys } from '../base/sys.ts'
import { idMap } from '../values/id-map.ts'
import { storeError } from './store-error.ts'

/**
 * What survives what. `kill -9` loses nothing that was written: the page cache belongs to the kernel. A power cut loses or tears whatever was not
 * synced. A layer has too many files to fsync each (0.6 ms apiece), so a layer is marked with the id of the boot that wrote it: good in that boot. At
 * the end of a build one syncfs(2) makes everything durable, and its layers are marked so. After a power cut a layer with neither mark is
 * treated as absent, and a record that needs it is a miss.
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
      current = randomUUID()
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

/** syncfs(2) of the file system that holds `directory`, on this thread or, when it may take long, on another. */
export async function syncFileSystem(directory: string): Promise<void> {
  const fd = openSync(directory, 'r')
  try {
    if (dirtyBytes() < LITTLE) sys().syncfs(fd)
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
