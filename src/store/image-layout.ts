import { mkdir, opendir, rename, rm, stat, unlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { errorCode, systemError, TbuildError } from '../base/errors.ts'
import { randomHex } from '../base/random.ts'
import { readCapped } from '../base/read-capped.ts'
import { OCI_LAYOUT } from '../values/oci.ts'
import { createBlobStore } from './blob-store.ts'
import { tryFlockDirectory, waitFor } from './flock.ts'
import { openRegular } from './regular-file.ts'
import type { BlobStore } from './types.ts'

/**
 * OCI image layouts (image-layout.md) that are nobody's store: directories of the caller, which other builds and other tools write, too. What is in them is
 * not trusted.
 */
const BLOBS = 'blobs/sha256'
const INDEX = 'index.json'

/** The blobs of a layout. Temporary names are random: process ids repeat, in containers with every build. */
export function layoutBlobs(directory: string): BlobStore {
  const folder = join(directory, BLOBS)
  const temporary = () => join(folder, temporaryName(''))
  return createBlobStore({ folder, temporary, use: async (_digest, check) => check(), failure: systemError })
}

/** The bytes of index.json, at most `limit`; undefined when there is none. OCI_LAYOUT_INVALID when it is something else than a file of sane length. */
export async function readLayoutIndex(directory: string, limit: number): Promise<Buffer | undefined> {
  const path = join(directory, INDEX)
  const file = await openRegular(path).catch((error: unknown) => {
    if (errorCode(error) === 'ENOENT' || errorCode(error) === 'ENOTDIR') return null
    throw error
  })
  if (file === null) return undefined
  if (file === undefined) throw invalid(`${path} is not a regular file`)
  const index = await readCapped(file.createReadStream() as AsyncIterable<Uint8Array>, limit)
  if (index === undefined) throw invalid(`${path} has more than ${limit} bytes`)
  return index
}

/** The files beside the blobs. */
export const LAYOUT_FILES = ['oci-layout', INDEX] as const

/** Writes them, each whole and index.json last: what it names is there. Not synced, since an export can be made again. */
export async function writeLayoutIndex(directory: string, index: string | Uint8Array): Promise<void> {
  for (const name of LAYOUT_FILES) {
    const temporary = join(directory, temporaryName(`${name}.`))
    try {
      await writeFile(temporary, name === INDEX ? index : OCI_LAYOUT, { flag: 'wx', mode: 0o644 })
      await rename(temporary, join(directory, name))
    } catch (error) {
      await rm(temporary, { force: true })
      throw error
    }
  }
}

/**
 * Makes the directory and holds it while `run` changes the layout: whoever reads the index, adds to it and removes what it no longer names does so alone. The
 * lock is on the directory itself, so that nothing is left in what others carry away. Leftovers of killed builds are removed.
 */
export async function changeLayout<T>(directory: string, signal: AbortSignal | undefined, run: () => Promise<T>): Promise<T> {
  await mkdir(directory, { recursive: true })
  const lock = await waitFor(() => tryFlockDirectory(directory), { signal })
  try {
    await removeLeftovers(directory)
    await removeLeftovers(join(directory, BLOBS))
    return await run()
  } finally {
    lock.release()
  }
}

/** What is younger may still be written, where a file system has no locks. */
const LEFT_MS = 24 * 60 * 60 * 1000
/** Of this file, of older versions (process ids), and of what writes blobs by their names. */
const TEMPORARY = /^\.(?:(?:index\.json|oci-layout|[0-9a-f]{64})\.)?(?:[0-9a-f]+|\d+\.\d+)\.tmp$/

function temporaryName(before: string): string {
  return `.${before}${randomHex(8)}.tmp`
}

async function removeLeftovers(folder: string): Promise<void> {
  try {
    for await (const entry of await opendir(folder)) {
      const path = join(folder, entry.name)
      if (entry.isFile() && TEMPORARY.test(entry.name) && (await stat(path)).mtimeMs < Date.now() - LEFT_MS) await unlink(path)
    }
  } catch (error) {
    // There is no such folder yet, or what is another user's stays: it is only litter.
    if (!['ENOENT', 'EACCES', 'EPERM'].includes(errorCode(error) ?? '')) throw error
  }
}

function invalid(problem: string): TbuildError {
  return new TbuildError('OCI_LAYOUT_INVALID', problem, { hint: 'name another directory, or remove the file' })
}
