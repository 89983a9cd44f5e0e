import { errorCode, TbuildError } from '../base/errors.ts'
import { sys } from '../base/sys.ts'
import { S_IFBLK, S_IFCHR, S_IFIFO } from '../base/sys-constants.ts'
import { TimeSlice } from '../base/time-slice.ts'
import { untilTaken } from '../base/until-taken.ts'
import type { TarEntry, TarItem } from '../tar/types.ts'
import { copyContent, writeContent } from './content.ts'
import { makeDirectories } from './directories.ts'
import { findInLayer, makeLayerDirectories } from './layer-directories.ts'
import type { Metadata } from './metadata.ts'
import { NewFiles } from './new-files.ts'
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

/** Whether a file of an archive gets that time, in seconds. */
export const isUnpackedTime = (seconds: number): boolean => seconds >= 0 && seconds < LAST_TIME

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

/** Names of directories that are remembered with where they really are. */
const MAX_PARENTS = 4096

/** Every path is resolved in the root. Where a directory was found is remembered until anything is removed, or made over what is below. */
class Unpacker {
  readonly #writer: LayerWriter
  readonly #files: NewFiles
  readonly #parents = new Map<Key, Key>()
  #removals = 0
  readonly #target: Key
  readonly #rules: Rules
  readonly #options: UnpackOptions
  readonly #slice: TimeSlice

  constructor(writer: LayerWriter, target: Key, rules: Rules, options: UnpackOptions) {
    this.#writer = target === '' ? writer : writer.below(target)
    this.#files = new NewFiles(this.#writer)
    this.#target = target
    this.#rules = rules
    this.#options = options
    this.#slice = new TimeSlice(options.signal)
  }

  async run(items: AsyncIterable<TarItem>): Promise<void> {
    try {
      for await (const item of items) {
        if (this.#slice.isOver()) await this.#slice.yield()
        await this.#apply(item)
      }
      await this.#files.settle()
    } finally {
      await this.#files.idle()
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
    const key = joinKey(this.#parent(parentKey(name)), base)
    if (entry.rareType !== undefined && !this.#rules.whiteouts) throw unhandled(entry.rareType)
    // A link of an archive that ADD unpacks goes through what is below, too.
    if (!this.#rules.whiteouts && this.#writer.merges(parentKey(key))) this.#parents.clear()
    if (entry.type === 'link') return this.#link(key, entry)
    if (entry.type === 'file') return this.#file(key, entry, content)
    if (await this.#make(key, entry)) this.#metadata(key, entry)
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
  #parent(path: Key): Key {
    if (this.#removals !== this.#writer.removals || this.#parents.size === MAX_PARENTS) this.#parents.clear()
    this.#removals = this.#writer.removals
    let key = this.#parents.get(path)
    if (key === undefined) {
      const { whiteouts } = this.#rules
      key = whiteouts ? makeLayerDirectories(this.#writer, bytes(path)) : makeDirectories(this.#writer, bytes(path), { uid: 0, gid: 0 })
      this.#parents.set(path, key)
    }
    return key
  }

  async #whiteout(name: Key, base: Key): Promise<void> {
    const hidden = base.slice(WHITEOUT.length)
    if (base !== OPAQUE && base.startsWith(AUFS)) return
    if (hidden === '' || hidden === '.' || hidden === '..') throw refused(`the whiteout ${shown(name)} names no file`)
    const parent = this.#parent(parentKey(name))
    // Where nothing is below, overlayfs would list the whiteout as a name that has nothing.
    if (!this.#writer.merges(parent)) return
    if (base === OPAQUE) return this.#writer.opaque(parent)
    const key = joinKey(parent, hidden)
    if (this.#writer.isExpected(key)) await this.#files.settle()
    this.#writer.whiteout(key)
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
    if (this.#writer.isExpected(keyOf(existing)) || !this.#writer.isFree(key)) await this.#files.settle()
    await this.#writer.link(key, existing, (from, to) => copyContent(from, to, this.#slice))
    this.#linkMetadata(key, existing.type, entry)
  }

  /** The last entry of a file decides about all of its names, as in Go's archive packages; of a linked symlink only the owner is set. */
  #linkMetadata(key: Key, type: NodeType, entry: TarEntry): void {
    const { uid, gid, ...rest } = this.#metadataOf(entry)
    this.#writer.setMetadata(key, type, { uid, gid, ...(type === 'symlink' ? {} : rest) } as Metadata)
  }

  /** False when the entry was skipped. What is in its place goes, with files in it that were only begun. */
  async #make(key: Key, entry: TarEntry): Promise<boolean> {
    if (entry.type === 'directory' && this.#writer.at(key)?.type === 'directory') return true
    if (!this.#writer.isFree(key)) await this.#files.settle()
    switch (entry.type) {
      case 'directory':
        this.#writer.directory(key, 0o700)
        return true
      case 'symlink':
        this.#writer.symlink(key, this.#symlinkTarget(key, entry))
        return true
      default:
        return this.#node(key, entry)
    }
  }

  #symlinkTarget(key: Key, entry: TarEntry): Buffer {
    if (entry.linkname === undefined || entry.linkname.length === 0) throw refused(`the symlink ${shown(key)} has no target`)
    return entry.linkname
  }

  async #file(key: Key, entry: TarEntry, content: AsyncIterable<Uint8Array>): Promise<void> {
    const metadata = this.#metadataOf(entry)
    if (this.#files.takes(entry, key, metadata)) return this.#files.add(entry, key, metadata, content)
    if (!this.#writer.isFree(key)) await this.#files.settle()
    const fd = this.#writer.file(key)
    try {
      for await (const chunk of content) {
        await writeContent(fd, chunk)
        this.#options.signal?.throwIfAborted()
      }
      this.#writer.setFileMetadata(key, fd, metadata)
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
    const bounded = isUnpackedTime(entry.mtime)
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
