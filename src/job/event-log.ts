import { randomUUID } from 'node:crypto'
import { type FileHandle, open, rm, statfs } from 'node:fs/promises'
import { join } from 'node:path'
import { TbuildError } from '../base/errors.ts'
import type { BuildEvent } from '../base/events.ts'
import { EventRecords, wholeRecords } from './event-records.ts'

/** Bytes of events that are in memory; what is beyond them is in the file. */
const MEMORY = 256 * 1024

/** Bytes that a reader takes at a time, and one event. */
const PIECE = 64 * 1024

/** Of the disk, what is left to the build itself: a part of it, and at most so many bytes. */
const LEFT = { part: 1 / 20, most: 256 * 1024 * 1024 }

/** Of a disk, bytes. */
interface DiskSpace {
  readonly free: number
  readonly size: number
}

/**
 * All events of a job, for any number of readers, each from the first on and at its own pace. None of them holds up who writes, and none makes memory grow:
 * events beyond `MEMORY` are in a file without a name, which the system removes with the process.
 */
export class EventLog implements AsyncIterable<BuildEvent> {
  readonly #folder: () => string
  #path: string | undefined
  readonly #space: (folder: string) => Promise<DiskSpace>
  readonly #records = new EventRecords()
  /** The records behind those of the file. */
  #kept: Buffer[] = []
  #keptBytes = 0
  #file: FileHandle | undefined
  #fileBytes = 0
  #spilling: Promise<void> | undefined
  #failure: TbuildError | undefined
  #hasEnded = false
  #readers: (() => void)[] = []

  /** `folder`: where the file is made, and `space`: what of its disk is free; asked for when it comes to that. */
  constructor(folder: () => string, space: (folder: string) => Promise<DiskSpace>) {
    this.#folder = folder
    this.#space = space
  }

  /** A promise that is there while more is kept than may be: who makes events without end waits for it. */
  append(event: BuildEvent): Promise<void> | undefined {
    if (this.#hasEnded || this.#failure !== undefined) return undefined
    const record = this.#records.encode(event)
    this.#kept.push(record)
    this.#keptBytes += record.length
    this.#wake()
    if (this.#keptBytes <= MEMORY) return undefined
    this.#spilling ??= this.#spill()
    return this.#spilling
  }

  /** That was the last event. */
  end(): void {
    this.#hasEnded = true
    this.#wake()
  }

  /** Gives the events up: readers find no more. */
  async close(): Promise<void> {
    this.#failure ??= new TbuildError('EVENTS_LOST', 'the events of the job were given up')
    this.end()
    await this.#spilling
    this.#drop()
    const file = this.#file
    this.#file = undefined
    this.#fileBytes = 0
    await file?.close()
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<BuildEvent> {
    for (let at = 0; ; ) {
      if (at < this.#fileBytes + this.#keptBytes) {
        const bytes = await this.#read(at).catch((error: unknown) => Promise.reject(this.#failure ?? error))
        yield* this.#records.decode(bytes)
        at += bytes.length
      } else if (this.#failure !== undefined) throw this.#failure
      else if (this.#hasEnded) return
      else await new Promise<void>((resolve) => this.#readers.push(resolve))
    }
  }

  /** What is not in the file. */
  #drop(): void {
    this.#kept = []
    this.#keptBytes = 0
  }

  #wake(): void {
    for (const wake of this.#readers.splice(0)) wake()
  }

  /** Whole records from `at` on, about a piece of them. */
  async #read(at: number): Promise<Buffer> {
    const file = this.#file
    if (file === undefined || at >= this.#fileBytes) return this.#readKept(at - this.#fileBytes)
    const piece = await readAt(file, at, Math.min(PIECE, this.#fileBytes - at))
    const { whole, first } = wholeRecords(piece)
    return whole > 0 ? piece.subarray(0, whole) : readAt(file, at, first)
  }

  #readKept(from: number): Buffer {
    const found: Buffer[] = []
    let [at, bytes] = [0, 0]
    for (const record of this.#kept) {
      if (at >= from && bytes < PIECE) {
        found.push(record)
        bytes += record.length
      }
      at += record.length
    }
    return Buffer.concat(found)
  }

  async #spill(): Promise<void> {
    try {
      this.#path ??= this.#folder()
      this.#file ??= await openNameless(this.#path)
      while (this.#keptBytes > MEMORY && this.#failure === undefined) {
        const records = this.#kept.slice()
        const bytes = Buffer.concat(records)
        const { free, size } = await this.#space(this.#path)
        if (free - bytes.length < Math.min(size * LEFT.part, LEFT.most)) throw new Error('the disk of the store is almost full')
        await writeAt(this.#file, this.#fileBytes, bytes)
        this.#kept = this.#kept.slice(records.length)
        this.#keptBytes -= bytes.length
        this.#fileBytes += bytes.length
      }
    } catch (cause) {
      // A log that cannot be kept is no reason to end a build.
      const hint = 'free space on the disk of the store, or mend it; the build itself goes on'
      this.#failure ??= new TbuildError('EVENTS_LOST', `events cannot be kept: ${(cause as Error).message}`, { hint, cause })
      this.#drop()
      this.#wake()
    } finally {
      this.#spilling = undefined
    }
  }
}

export async function diskSpace(folder: string): Promise<DiskSpace> {
  const { bavail, blocks, bsize } = await statfs(folder)
  return { free: bavail * bsize, size: blocks * bsize }
}

async function openNameless(folder: string): Promise<FileHandle> {
  const path = join(folder, `events-${randomUUID()}`)
  const file = await open(path, 'wx+', 0o600)
  // Who sweeps the store may have been there before.
  await rm(path, { force: true })
  return file
}

async function readAt(file: FileHandle, position: number, length: number): Promise<Buffer> {
  const bytes = Buffer.alloc(length)
  for (let done = 0; done < length; ) {
    const { bytesRead } = await file.read(bytes, done, length - done, position + done)
    if (bytesRead === 0) throw new Error('the file of events is shorter than what was written to it')
    done += bytesRead
  }
  return bytes
}

async function writeAt(file: FileHandle, position: number, bytes: Buffer): Promise<void> {
  for (let done = 0; done < bytes.length; ) done += (await file.write(bytes, done, bytes.length - done, position + done)).bytesWritten
}
