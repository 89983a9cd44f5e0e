import { writeSync } from 'node:fs'
import { errorCode, TbuildError } from '../base/errors.ts'
import { sys } from '../base/sys.ts'
import { S_IFBLK, S_IFCHR, S_IFIFO } from '../base/sys-constants.ts'
import { TimeSlice } from '../base/time-slice.ts'
import { untilTaken } from '../base/until-taken.ts'
import type { TarEntry, TarItem } from '../tar/types.ts'
import { copyContent } from './content.ts'
import { makeDirectories } from './directories.ts'
import { findInLayer, makeLayerDirectories } from './layer-directories.ts'
import type { Metadata } from './metadata.ts'
import { keyOf, type NodeType } from './node.ts'
import { bytes, cleanKey, joinKey, type Key, nameOf, parentKey, shown } from './path.ts'
import type { LayerWriter } from './writer.ts'

export interface UnpackOptions {
  readonly signal?: AbortSignal | undefined
  /** Told of entries that cannot be made here: device nodes in a user namespace. Without it they are errors; a promise is waited for. */
  readonly onSkipped?: (message: string) => unknown
  /** What an archive may unpack to; default: DEFAULT_LIMITS. */
  readonly maxBytes?: number | undefined
}

export interface ArchiveOptions extends UnpackOptions {
  /** A real directory that exists; the archive sees nothing above it. */
  readonly target: Key
  /** ADD --chown. */
  readonly owner?: { readonly uid: number; readonly gid: number }
}

const WHITEOUT = '.wh.'
const OPAQUE = '.wh..wh..opq'
/** AUFS's own, such as `.wh..wh.plnk`: no file and no removal. */
const AUFS = '.wh..wh.'

/** Applies a layer's tar (OCI image spec, layer.md): whiteouts hide what is below, entries replace what is there, parents that are missing are made. */
export async function unpackLayer(items: AsyncIterable<TarItem>, writer: LayerWriter, options: UnpackOptions = {}): Promise<void> {
  await new Unpacker(writer, '', { whiteouts: true, rootEntry: true }, options).run(items)
  writer.finish()
}

/** ADD of a local archive (F27, F28): owners are the archive's unless `owner`, `.wh.` names mean nothing, its `.` entry does not touch the target. */
export async function unpackArchive(items: AsyncIterable<TarItem>, writer: LayerWriter, options: ArchiveOptions): Promise<void> {
  await new Unpacker(writer, options.target, { whiteouts: false, rootEntry: false, owner: options.owner }, options).run(items)
  writer.flushTimes()
}

/** What an int64 of nanoseconds holds; Go's archive packages put another time at 0. */
const LAST_TIME = 9_223_372_036

interface Rules {
  readonly whiteouts: boolean
  readonly rootEntry: boolean
  readonly owner?: ArchiveOptions['owner']
}

function refused(message: string): TbuildError {
  return new TbuildError('ARCHIVE_REFUSED', message, {
    hint: 'the archive is broken or hostile; nothing outside of its target is ever written',
  })
}

/** As go-archive has it: contiguous files and sparse ones of old GNU archives are none for it. */
function unhandled(typeflag: string): TbuildError {
  return new TbuildError('TAR_UNSUPPORTED', `unhandled tar header type ${typeflag.charCodeAt(0)}`, {
    hint: 'pack the archive anew, a sparse one with --format=pax',
  })
}

/** Every entry is resolved anew in the root: no directory is remembered by its name. */
class Unpacker {
  readonly #writer: LayerWriter
  readonly #target: Key
  readonly #rules: Rules
  readonly #options: UnpackOptions
  readonly #slice: TimeSlice

  constructor(writer: LayerWriter, target: Key, rules: Rules, options: UnpackOptions) {
    this.#writer = target === '' ? writer : writer.below(target)
    this.#target = target
    this.#rules = rules
    this.#options = options
    this.#slice = new TimeSlice(options.signal)
  }

  async run(items: AsyncIterable<TarItem>): Promise<void> {
    for await (const item of items) {
      if (this.#slice.isOver()) await this.#slice.yield()
      await this.#apply(item)
    }
    if (this.#target !== '') this.#writer.finish()
  }

  async #apply({ entry, content }: TarItem): Promise<void> {
    const raw = entry.name.toString('latin1')
    const name = cleanKey(raw, true)
    if (name === undefined || raw.includes('\0')) throw refused(`the name ${JSON.stringify(shown(raw))} leads out of the archive`)
    if (name === '') return this.#root(entry)
    const base = nameOf(name)
    if (this.#rules.whiteouts && base.startsWith(WHITEOUT)) return this.#whiteout(name, base)
    const key = joinKey(this.#parent(name), base)
    if (entry.rareType !== undefined && !this.#rules.whiteouts) throw unhandled(entry.rareType)
    if (entry.type === 'link') return this.#link(key, entry)
    if (!(await this.#make(key, entry, content))) return
    this.#metadata(key, entry)
  }

  /** The root stays the root, whatever type an entry gives it; go-archive passes over one that has no name or `.`. */
  #root(entry: TarEntry): void {
    if (!this.#rules.rootEntry) return
    if (entry.type !== 'directory') throw refused(`the archive makes its root a ${entry.type}`)
    this.#metadata('', entry)
  }

  /**
   * Where the parent really is, symlinks followed inside the root, those of a layer's own only for a layer; made when it is missing, then root's whatever
   * --chown says.
   */
  #parent(name: Key): Key {
    if (this.#rules.whiteouts) return makeLayerDirectories(this.#writer, bytes(parentKey(name)))
    return makeDirectories(this.#writer, bytes(parentKey(name)), { uid: 0, gid: 0 })
  }

  #whiteout(name: Key, base: Key): void {
    const hidden = base.slice(WHITEOUT.length)
    if (base !== OPAQUE && base.startsWith(AUFS)) return
    if (hidden === '' || hidden === '.' || hidden === '..') throw refused(`the whiteout ${shown(name)} names no file`)
    const parent = this.#parent(name)
    // Where nothing is below, overlayfs would list the whiteout as a name that has nothing.
    if (!this.#writer.merges(parent)) return
    if (base === OPAQUE) this.#writer.opaque(parent)
    else this.#writer.whiteout(joinKey(parent, hidden))
  }

  /** Absolute targets are relative to the root, as kaniko writes them; the last component is the file itself, never where a symlink leads. */
  async #link(key: Key, entry: TarEntry): Promise<void> {
    const raw = entry.linkname?.toString('latin1') ?? ''
    const target = cleanKey(raw, true)
    if (target === undefined || target === '') throw refused(`the hard link ${shown(key)} leads out of the archive: ${shown(raw)}`)
    const existing = this.#rules.whiteouts ? findInLayer(this.#writer, bytes(target)) : this.#writer.resolve(bytes(target))
    if (existing === undefined || existing.type === 'directory') {
      throw refused(`the hard link ${shown(key)} has no file to link to: ${shown(raw)}`)
    }
    if (keyOf(existing) === key) return
    await this.#writer.link(key, existing, (from, to) => copyContent(from, to, this.#slice))
    this.#linkMetadata(key, existing.type, entry)
  }

  /** The last entry of a file decides about all of its names, as in Go's archive packages; of a linked symlink only the owner is set. */
  #linkMetadata(key: Key, type: NodeType, entry: TarEntry): void {
    const { uid, gid, ...rest } = this.#metadataOf(entry)
    this.#writer.setMetadata(key, type, { uid, gid, ...(type === 'symlink' ? {} : rest) } as Metadata)
  }

  /** False when the metadata is not to be set: the entry was skipped, or is a file, which has got it. */
  async #make(key: Key, entry: TarEntry, content: AsyncIterable<Uint8Array>): Promise<boolean> {
    switch (entry.type) {
      case 'directory':
        if (this.#writer.at(key)?.type !== 'directory') this.#writer.directory(key, 0o700)
        return true
      case 'symlink':
        this.#writer.symlink(key, this.#symlinkTarget(key, entry))
        return true
      case 'file':
        await this.#file(key, entry, content)
        return false
      default:
        return this.#node(key, entry)
    }
  }

  #symlinkTarget(key: Key, entry: TarEntry): Buffer {
    if (entry.linkname === undefined || entry.linkname.length === 0) throw refused(`the symlink ${shown(key)} has no target`)
    return entry.linkname
  }

  async #file(key: Key, entry: TarEntry, content: AsyncIterable<Uint8Array>): Promise<void> {
    const fd = this.#writer.file(key)
    try {
      for await (const chunk of content) {
        for (let at = 0; at < chunk.length; ) at += writeSync(fd, chunk, at)
        if (this.#slice.isOver()) await this.#slice.yield()
      }
      this.#writer.setFileMetadata(key, fd, this.#metadataOf(entry))
    } finally {
      sys().close(fd)
    }
  }

  async #node(key: Key, entry: TarEntry): Promise<boolean> {
    const type = entry.type === 'character' ? S_IFCHR : entry.type === 'block' ? S_IFBLK : S_IFIFO
    try {
      this.#writer.node(key, type | 0o600, entry.major ?? 0, entry.minor ?? 0)
      return true
    } catch (error) {
      // What marks a removed file is never left out of an ADD: it would be a file that is not there. That of a layer stays in its blob.
      const codes = this.#rules.whiteouts ? ['EPERM', 'DEVICE_REFUSED'] : ['EPERM']
      const skippable = codes.includes(errorCode(error) ?? '') && this.#options.onSkipped !== undefined
      if (!skippable) throw error
      await untilTaken(
        this.#options.onSkipped?.(`the device /${shown(key)} is left out: ${(error as Error).message}`),
        this.#options.signal,
      )
      return false
    }
  }

  #metadataOf(entry: TarEntry): Metadata {
    const { uid, gid } = this.#rules.owner ?? entry
    const bounded = entry.mtime >= 0 && entry.mtime < LAST_TIME
    const time = bounded ? { seconds: entry.mtime, nanoseconds: entry.mtimeNanoseconds ?? 0 } : { seconds: 0, nanoseconds: 0 }
    return { uid, gid, mode: entry.mode, time, ...(entry.xattrs === undefined ? {} : { xattrs: entry.xattrs }) }
  }

  #metadata(key: Key, entry: TarEntry): void {
    const { time, ...metadata } = this.#metadataOf(entry)
    if (entry.type === 'directory') {
      this.#writer.setMetadata(key, 'directory', metadata)
      if (time !== undefined) this.#writer.laterTimes(key, time)
    } else this.#writer.setMetadata(key, entry.type as NodeType, { ...metadata, ...(time === undefined ? {} : { time }) })
  }
}
