import { readSync } from 'node:fs'
import { canonicalJson } from '../base/canonical-json.ts'
import { type Digest, hexOf, isDigest, RunningHash, sha256, sha256Hex } from '../base/digest.ts'
import { sys } from '../base/sys.ts'
import type { SysStat } from '../base/sys-values.ts'
import { TimeSlice } from '../base/time-slice.ts'
import { type FileDigests, isSettled } from '../store/file-digests.ts'
import { keyOf } from './node.ts'
import { joinKey, type Key, nameOf } from './path.ts'
import { type Filter, type Selected, type Selector, selectSources, type Visit } from './selection.ts'
import { SmallFiles, smallListing } from './small-files.ts'
import type { TreeNode, TreeScan, TreeView } from './types.ts'

export type { Selector } from './selection.ts'

/** Digests of files as earlier builds learnt them: an unchanged file is not read again. */
export type KnownFiles = Pick<FileDigests, 'get' | 'set'>

/** Results of `hashSources` by what a scan found: of a tree in which nothing has changed since, no file is looked at one by one. */
export interface KnownTrees {
  /** Not given for what has no listing any more. */
  get(key: string): string | undefined
  set(key: string, digest: Digest): void
}

/** Raised when equal scans could be of other results: where `hashSources`, or what an ignore file hides, changes. */
const TREE_VERSION = 1

export interface HashOptions {
  readonly files?: KnownFiles
  readonly trees?: KnownTrees
  /** Owners do not count, for the copy makes them 0:0 (F14). */
  readonly resetOwner?: boolean
  /** Gets what is hashed, piece by piece: together the text whose digest is the result (`parseListing`). Nothing when the result was in `trees`. */
  readonly listing?: string[] | undefined
  readonly signal?: AbortSignal | undefined
}

/** One file of what was hashed, for explaining a miss. */
export interface HashedFile {
  /** Below the source's name, as latin1 bytes. */
  readonly path: Key
  readonly type: TreeNode['type']
  readonly mode: number
  readonly uid: number
  readonly gid: number
  readonly size: number
  /** Of a symlink. Latin1 bytes. */
  readonly target: string
  /** `major:minor` of a device. */
  readonly device: string
  /** Hex sha256 of content and extended attributes; '' when there are none (a directory, a symlink). */
  readonly content: string
}

/** Fields of a file in the hashed text. */
const FIELDS = 9

const READ = 256 * 1024
/** Characters of text that are hashed at once. */
const TEXT = 64 * 1024

/** The content digest of what a COPY, ADD or bind mount reads (K7–K11): names, modes, owners, sizes, link targets, attributes and bytes; no times. */
export async function hashSources(view: TreeView, selector: Selector, options: HashOptions = {}): Promise<Digest> {
  const now = Date.now()
  const sources = selectSources(view, selector)
  const scan = await scanned(view, sources)
  const key = scan === undefined ? undefined : treeKey(scan, options, now)
  const known = key === undefined ? undefined : options.trees?.get(key)
  if (isDigest(known)) return known
  const hasher = new SourceHasher(view, options, now)
  try {
    for (const selected of sources) await hasher.add(selected, scan)
    const digest = await hasher.finish()
    if (key !== undefined) options.trees?.set(key, digest)
    return digest
  } finally {
    await hasher.idle()
  }
}

/** Where the source is one directory, of which everything is wanted. */
async function scanned(view: TreeView, [source, ...others]: readonly Selected[]): Promise<TreeScan | undefined> {
  if (source?.node.type !== 'directory' || others.length > 0 || !source.filter.takesAll) return undefined
  return view.scan?.(source.node)
}

/** The path to the directory is none of the text: what is in it, and itself, decide. Undefined while a change could leave the same stamps. */
function treeKey({ digest, newest }: TreeScan, { resetOwner = false }: HashOptions, now: number): string | undefined {
  return digest !== undefined && isSettled(newest, now) ? sha256(canonicalJson([TREE_VERSION, digest, resetOwner])) : undefined
}

/** The files of a listing: what `hashSources` hashed, whole, as latin1. */
export function parseListing(listing: string): HashedFile[] {
  const fields = listing.split('\0')
  const files: HashedFile[] = []
  for (let at = 0; at + FIELDS < fields.length; at += FIELDS) {
    const field = (index: number) => fields[at + index] as string
    files.push({
      path: field(0),
      type: field(1) as TreeNode['type'],
      mode: Number(field(2)),
      uid: Number(field(3)),
      gid: Number(field(4)),
      size: Number(field(5)),
      target: field(6),
      device: field(7),
      content: field(8),
    })
  }
  return files
}

/** One file in the order of the text. */
interface Slot {
  /** The fields before the content, each ended by NUL. */
  readonly head: string
  /** Undefined while it is being read. */
  content: string | undefined
  /** It is to be read alone. */
  rest?: TreeNode
}

/** Slots that wait for those before them. */
const WAITING = 2048

class SourceHasher {
  readonly #view: TreeView
  readonly #options: HashOptions
  readonly #slice: TimeSlice
  readonly #all = new RunningHash()
  readonly #buffer = Buffer.allocUnsafeSlow(READ)
  /** Contents of inodes with several names (K10). */
  readonly #inodes = new Map<string, string>()
  readonly #now: number
  readonly #small = new SmallFiles()
  #waiting: Slot[] = []
  /** Not hashed yet. */
  #text = ''

  /** `now`: before anything of it was read. */
  constructor(view: TreeView, options: HashOptions, now: number) {
    this.#view = view
    this.#options = options
    this.#now = now
    this.#slice = new TimeSlice(options.signal)
  }

  async finish(): Promise<Digest> {
    await this.#settle()
    this.#hashText()
    return this.#all.finish()
  }

  /** Nothing is read any more after it, whatever has happened. */
  idle(): Promise<void> {
    return this.#small.idle()
  }

  /** K7: of the path to a source only its last name counts, and that of a directory only with wildcards, where it is `name`. */
  async add({ node, name, filter }: Selected, scan: TreeScan | undefined): Promise<void> {
    await this.#record(node, node.type === 'directory' && !filter.includes ? '' : name)
    if (node.type !== 'directory') return
    if (scan === undefined) await this.#directory(node, filter)
    else await this.#scanned(scan, node)
  }

  /** Of a directory that was scanned everything is wanted, and of most files everything is known. */
  async #scanned(scan: TreeScan, top: TreeNode): Promise<void> {
    const entriesOf = (directory: TreeNode, key: Key) =>
      scan.children(directory, (name, stat) => {
        const content = stat.nlink > 1 ? undefined : this.#remembered(stat)
        return content === undefined ? undefined : `${this.#head(joinKey(key, name), 'file', stat)}${content}`
      })
    const stack = [{ key: '', entries: entriesOf(top, ''), at: 0 }]
    for (let level = stack.at(-1); level !== undefined; level = stack.at(-1)) {
      const entry = level.entries[level.at++]
      if (entry === undefined) {
        stack.pop()
        continue
      }
      if (this.#slice.isOver()) await this.#slice.yield()
      const key = typeof entry === 'string' ? '' : joinKey(level.key, nameOf(keyOf(entry)))
      const pending = typeof entry === 'string' ? this.#add(entry, '') : this.#record(entry, key)
      if (pending !== undefined) await pending
      if (typeof entry !== 'string' && entry.type === 'directory') stack.push({ key, entries: entriesOf(entry, key), at: 0 })
    }
  }

  /** Directories that lead to wanted paths only count when they do, as they are made only then (F22). */
  async #directory(top: TreeNode, filter: Filter): Promise<void> {
    const stack: { visit: Visit | undefined; entries: Generator<Visit>; recorded: boolean }[] = [
      { visit: undefined, entries: filter.children(this.#view, top, ''), recorded: true },
    ]
    for (let current = stack.at(-1); current !== undefined; current = stack.at(-1)) {
      const { value: visit, done } = current.entries.next()
      if (done === true) {
        stack.pop()
        continue
      }
      if (this.#slice.isOver()) await this.#slice.yield()
      if (visit.included) {
        for (const level of stack) {
          if (!level.recorded && level.visit !== undefined) await this.#record(level.visit.node, joinKey('', level.visit.key))
          level.recorded = true
        }
        // Most are known: a promise only for the others, since twenty thousand of them cost more than the look-ups.
        const pending = this.#record(visit.node, visit.key)
        if (pending !== undefined) await pending
      }
      if (visit.node.type === 'directory') {
        const entries = filter.children(this.#view, visit.node, visit.key, visit.state)
        stack.push({ visit, entries, recorded: visit.included })
      }
    }
  }

  #record(node: TreeNode, path: Key): Promise<void> | undefined {
    const { stat, type } = node
    const target = type === 'symlink' ? this.#view.readlink(node).toString('latin1') : ''
    const head = this.#head(path, type, stat, target)
    const content = type === 'file' ? this.#known(node) : attributesDigest(this.#view.xattrs(node))
    if (content !== undefined) return this.#add(head, content)
    const slot: Slot = { head, content }
    this.#waiting.push(slot)
    const read = this.#read(node, slot)
    return this.#waiting.length < WAITING ? read : this.#settleAfter(read)
  }

  /** Fields are ended by NUL, which no name or target contains, and there is the same number of them in every record (K21). */
  #head(path: Key, type: TreeNode['type'], stat: SysStat, target = ''): string {
    const [uid, gid] = this.#options.resetOwner === true ? [0, 0] : [stat.uid, stat.gid]
    const mode = type === 'symlink' ? 0o777 : stat.mode & 0o7777
    const size = type === 'file' ? stat.size : 0
    const device = type === 'character' || type === 'block' ? `${stat.rdevMajor}:${stat.rdevMinor}` : ''
    return `${path}\0${type}\0${mode}\0${uid}\0${gid}\0${size}\0${target}\0${device}\0`
  }

  #add(head: string, content: string): Promise<void> | undefined {
    if (this.#waiting.length === 0) return this.#emit(head, content)
    this.#waiting.push({ head, content })
    return this.#waiting.length < WAITING ? undefined : this.#settle()
  }

  async #settleAfter(read: Promise<void> | undefined): Promise<void> {
    await read
    await this.#settle()
  }

  #emit(head: string, content: string): undefined {
    this.#text += `${head}${content}\0`
    if (this.#text.length >= TEXT) this.#hashText()
  }

  #hashText(): void {
    this.#all.update(Buffer.from(this.#text, 'latin1'))
    this.#options.listing?.push(this.#text)
    this.#text = ''
  }

  /** Reads what is not read yet, and hashes all that waits for it. */
  async #settle(): Promise<void> {
    await this.#small.finish()
    for (const { head, content, rest } of this.#waiting) this.#emit(head, content ?? (await this.#readAlone(rest as TreeNode)))
    this.#waiting = []
  }

  #remembered(stat: SysStat): string | undefined {
    const { files } = this.#options
    return files !== undefined && isSettled(stat, this.#now) ? files.get(stat) : undefined
  }

  /** Of earlier builds, or of another name of the file. */
  #known(node: TreeNode): string | undefined {
    return this.#remembered(node.stat) ?? (node.stat.nlink > 1 ? this.#inodes.get(this.#view.inode(node)) : undefined)
  }

  /** Puts it into the slot, at once or with many others. */
  #read(node: TreeNode, slot: Slot): Promise<void> | undefined {
    const listing = smallListing(this.#view, node)
    if (listing === undefined) {
      return this.#readAlone(node).then((content) => {
        slot.content = content
      })
    }
    return this.#small.add(listing, node.name, node.stat.size, (data) => {
      if (data === undefined) slot.rest = node
      else slot.content = this.#remember(node, sha256Hex(data))
    })
  }

  #remember(node: TreeNode, digest: string): string {
    if (isSettled(node.stat, this.#now)) this.#options.files?.set(node.stat, digest)
    if (node.stat.nlink > 1) this.#inodes.set(this.#view.inode(node), digest)
    return digest
  }

  async #readAlone(node: TreeNode): Promise<string> {
    const hash = new RunningHash()
    const fd = this.#view.open(node)
    try {
      for (let count = readSync(fd, this.#buffer); count > 0; count = readSync(fd, this.#buffer)) {
        hash.update(count === READ ? this.#buffer : this.#buffer.subarray(0, count))
        if (count < READ && count >= node.stat.size) break
        if (this.#slice.isOver()) await this.#slice.yield()
      }
      const attributes = attributesDigest(this.#view.xattrs(node))
      if (attributes !== '') hash.update(`\0${attributes}`)
      return this.#remember(node, hexOf(hash.finish()))
    } finally {
      sys().close(fd)
    }
  }
}

/** K8: security.capability and what is not security.* or system.*, sorted. */
function attributesDigest(xattrs: ReadonlyMap<string, Buffer>): string {
  if (xattrs.size === 0) return ''
  const kept = [...xattrs].filter(([name]) => name === 'security.capability' || !/^(security|system)\./.test(name))
  if (kept.length === 0) return ''
  const hash = new RunningHash()
  kept.sort(([a], [b]) => (a < b ? -1 : 1))
  for (const [name, value] of kept) hash.update(Buffer.from(`${name}\0${value.toString('hex')}\0`, 'latin1'))
  return hexOf(hash.finish())
}
