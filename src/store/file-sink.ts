import { type FileHandle, open, rename, rm, stat } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { destinationError } from '../base/destination-error.ts'
import { errorCode, TbuildError } from '../base/errors.ts'
import { randomHex } from '../base/random.ts'
import { sys } from '../base/sys.ts'
import type { FileMark, Sink } from '../caller/caller.ts'
import { markWritten } from './file-mark.ts'

/**
 * A file that is whole or absent, also when the process dies: a temporary one beside it, then a rename. Not synced: an export can be made again, and a sync of
 * hundreds of megabytes takes longer than writing them. A target that is there and is no regular file (a fifo, /dev/stdout) is written to as it is.
 * `output` is the place that the caller named, where the file is a part of that. Errors: EXPORT_DEST_DIRECTORY, EXPORT_DEST_MISSING, OUTPUT_WRITE.
 */
export async function fileSink(path: string, output = path): Promise<Sink> {
  const target = await stat(path).catch(() => undefined)
  if (target?.isDirectory()) throw new TbuildError('EXPORT_DEST_DIRECTORY', `${path} is a directory and a file is to be written`)
  if (target !== undefined && !target.isFile()) return openSink(path, output, { as: path, flags: 'w' })
  const temporary = join(dirname(path), `.${basename(path).slice(0, 100)}.${randomHex(6)}.tmp`)
  return openSink(path, output, { as: temporary, flags: 'wx' })
}

async function openSink(path: string, output: string, { as, flags }: { readonly as: string; readonly flags: 'w' | 'wx' }): Promise<Sink> {
  const refuse = (error: unknown): never => {
    if (errorCode(error) === 'ENOENT')
      throw new TbuildError('EXPORT_DEST_MISSING', `the folder of ${path} does not exist`, { cause: error })
    throw destinationError(error, output)
  }
  const file = await open(as, flags, 0o644).catch(refuse)
  const isWhole = as !== path
  const content = new FileContent(file, isWhole)
  let mark: FileMark | undefined
  return {
    write: (data) => content.write(data).catch(refuse),
    ...(isWhole ? { writeFile: (fd: number, size: number) => content.copy(fd, size).catch(refuse) } : {}),
    async commit() {
      await file.close().catch(refuse)
      if (isWhole) mark = await markWritten(as, () => rename(as, path)).catch(refuse)
    },
    mark: () => mark,
    async abort(reason) {
      await content.end(reason)
      await file.close().catch(() => {})
      if (isWhole) await rm(as, { force: true }).catch(() => {})
    },
  }
}

/** Bytes that are copied before somebody else's work gets the thread. */
const SLICE = 16 * 1024 * 1024

/** What is written to a file, one after the other. */
class FileContent {
  readonly #file: FileHandle
  /** A fifo has no places. */
  readonly #hasPlaces: boolean
  #size = 0
  #copying: Promise<void> | undefined
  readonly #end = new AbortController()

  constructor(file: FileHandle, hasPlaces: boolean) {
    this.#file = file
    this.#hasPlaces = hasPlaces
  }

  /** write(2) may take less than it was given, a pipe does. */
  async write(data: Uint8Array): Promise<void> {
    for (let done = 0; done < data.length; ) {
      const { bytesWritten } = await this.#file.write(data, done, data.length - done, this.#hasPlaces ? this.#size : null)
      done += bytesWritten
      this.#size += bytesWritten
    }
  }

  copy(fd: number, size: number): Promise<void> {
    this.#copying = this.#copy(fd, size)
    return this.#copying
  }

  async #copy(fd: number, size: number): Promise<void> {
    for (let done = 0; done < size; done += SLICE) {
      this.#end.signal.throwIfAborted()
      const length = Math.min(SLICE, size - done)
      await sys().copyRange(fd, done, this.#file.fd, this.#size, length)
      this.#size += length
    }
  }

  /** Nothing is copied any more when this resolves: the number of the file may be another's then. */
  async end(reason: unknown): Promise<void> {
    this.#end.abort(reason)
    await this.#copying?.catch(() => {})
  }
}
