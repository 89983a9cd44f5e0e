import { writeSync } from 'node:fs'
import { TbuildError } from '../base/errors.ts'
import { sys } from '../base/sys.ts'
import { S_IFMT, S_IFSOCK } from '../base/sys-constants.ts'
import { TimeSlice } from '../base/time-slice.ts'
import { cleanPath } from '../go/path.ts'
import { type ModeChange, parseChmod } from '../values/chmod.ts'
import { unpackArchiveFile } from './archive-source.ts'
import { BatchCopier, DeferringCopier, type PlainFiles } from './batch-copier.ts'
import { copyContent } from './content.ts'
import type { DeferredFiles } from './deferred-files.ts'
import { makeDirectories, type NewDirectories } from './directories.ts'
import { type Metadata, timeOf } from './metadata.ts'
import { keyOf } from './node.ts'
import { bytes, joinKey, type Key, latin1, parentKey, shown } from './path.ts'
import { resolveIn } from './resolve.ts'
import { type Selected, selectSources, type Visit } from './selection.ts'
import type { CopySource, CopySpec, TreeNode, TreeView } from './types.ts'
import type { UnpackOptions } from './unpack.ts'
import { emptyView, isEmptyView } from './view.ts'
import type { LayerWriter } from './writer.ts'

const NONE: Map<string, Buffer> = new Map()

type PathSource = Extract<CopySource, { kind: 'path' }>

/**
 * COPY and ADD: rules F1–F29, which are those of BuildKit's copier (fsutil/copy): each source is copied on its own, one after the other, and decides
 * again whether the destination is a directory.
 */
export async function copyInto(writer: LayerWriter, spec: CopySpec, options: CopyOptions = {}): Promise<DeferredFiles> {
  const target = spec.link ? writer.detached(emptyView()) : writer
  const chmod = spec.chmod === undefined ? undefined : parseChmod(spec.chmod)
  const job: Job = { ...options, writer: target, spec, chmod, made: parentsOf(spec, chmod), slice: new TimeSlice(options.signal) }
  for (const source of spec.sources) {
    if (source.kind === 'content') copyText(job, source)
    else await copyPath(job, source)
  }
  target.finish()
  return target.deferred
}

export interface CopyOptions extends UnpackOptions {
  /** Plain files of sources that are not unpacked stay where they are: they are no files of the writer's directory, but what is returned. */
  readonly defers?: boolean
}

interface Job extends CopyOptions {
  readonly writer: LayerWriter
  readonly spec: CopySpec
  readonly chmod: ModeChange | undefined
  /** F1, F15: created parents are 0755, or as an octal --chmod says without its special bits, and of --chown's owner. */
  readonly made: NewDirectories
  readonly slice: TimeSlice
}

function parentsOf({ owner, createdTime }: CopySpec, chmod: ModeChange | undefined): NewDirectories {
  return { ...owner, mode: (chmod?.fixed ?? 0o755) & 0o777, ...(createdTime === undefined ? {} : { createdTime }) }
}

/** F1: a trailing `/` or `/.` says directory: it is made. Where the destination is, resolved, whether or not it exists. */
function prepareDestination({ writer, spec, made }: Job): { key: Key; node: TreeNode | undefined } {
  const { destination } = spec
  if (/(^|\/)\.?$/.test(destination)) makeDirectories(writer, destination, made)
  else makeDirectories(writer, destination.slice(0, destination.lastIndexOf('/') + 1), made)
  const { node, parent, missing, obstacle } = resolveIn(writer, destination, true)
  if (obstacle !== undefined) throw new TbuildError('NOT_A_DIRECTORY', `not a directory: /${shown(keyOf(obstacle))}`)
  return { key: node === undefined ? missing.reduce(joinKey, keyOf(parent)) : keyOf(node), node }
}

function copyText(job: Job, source: Extract<CopySource, { kind: 'content' }>): void {
  const { writer, spec, chmod } = job
  const key = prepareFile(job, heredocFile(source.name))
  ensureReplaceable(writer, key)
  const fd = writer.file(key)
  try {
    for (let at = 0; at < source.data.length; ) at += writeSync(fd, source.data, at)
    const time = source.mtime === undefined ? {} : { time: { seconds: source.mtime, nanoseconds: 0 } }
    writer.setFileMetadata(key, fd, { uid: 0, gid: 0, ...spec.owner, mode: chmod?.apply(source.mode) ?? source.mode, ...time })
  } finally {
    sys().close(fd)
  }
}

/** BuildKit first writes the text to that name in an empty root, where there is no other directory. */
function heredocFile(name: string): Key {
  const path = cleanPath(`/${name}`)
  if (path === '/')
    throw new TbuildError('COPY_SOURCE_NOT_FOUND', `open ${path}: is a directory`, { hint: 'give the heredoc the name of a file' })
  if (path.lastIndexOf('/') > 0) {
    throw new TbuildError('COPY_SOURCE_NOT_FOUND', `open ${path}: no such file or directory`, {
      hint: 'the name of a heredoc is one of a file, without /',
    })
  }
  return latin1(path.slice(1))
}

/** Where a file of that name goes, its parent made. */
function prepareFile(job: Job, name: Key): Key {
  const destination = prepareDestination(job)
  if (destination.node?.type === 'directory') return joinKey(destination.key, name)
  makeDirectories(job.writer, bytes(parentKey(destination.key)), job.made)
  return destination.key
}

async function copyPath(job: Job, source: PathSource): Promise<void> {
  const { parents, exclude } = job.spec
  const { path, exact = false } = source
  for (const selected of selectSources(source.view, { path, exact, parents, exclude })) {
    if (await unpacked(job, source, selected)) continue
    const copier = new Copier(job, source)
    if (selected.node.type === 'directory') await copier.directory(selected)
    else await copier.single(selected.node, prepareFile(job, selected.name))
    // What the next source puts into a directory changes its time again, as it does with BuildKit.
    job.writer.flushTimes()
  }
}

/** F26–F29. */
async function unpacked(job: Job, { view, unpack }: PathSource, { node }: Selected): Promise<boolean> {
  if (unpack === false || node.type !== 'file') return false
  const { owner, destination } = job.spec
  return unpackArchiveFile(view, node, {
    writer: job.writer,
    signal: job.signal,
    maxBytes: job.maxBytes,
    ...(job.onSkipped === undefined ? {} : { onSkipped: job.onSkipped }),
    ...(owner === undefined ? {} : { owner }),
    // Only once it is known to be an archive: otherwise the destination may be a file's name.
    directory: () => {
      const { mode: _mode, ...made } = job.made
      return makeDirectories(job.writer, destination, made)
    },
  })
}

/** F11. */
function ensureReplaceable(writer: LayerWriter, key: Key): void {
  const existing = writer.at(key)
  if (existing?.type !== 'directory') return
  throw new TbuildError('COPY_OVER_DIRECTORY', `cannot replace to directory /${shown(key)} with file`, {
    hint: 'a directory of that name exists at the destination; remove it first or copy to another name',
  })
}

/** One source: hard links among its files are kept (F24). */
class Copier {
  readonly #job: Job
  readonly #view: TreeView
  readonly #resetOwner: boolean
  readonly #links = new Map<string, Key>()
  readonly #plain: PlainFiles

  constructor(job: Job, source: PathSource) {
    this.#job = job
    this.#view = source.view
    this.#plain = job.defers === true ? new DeferringCopier(source.view, job.writer) : new BatchCopier(source.view, job.writer)
    this.#resetOwner = source.resetOwner
  }

  /** F4: the contents of a directory. F12, F13: its own mode and owner do not count at the top, only its time does. */
  async directory({ node, filter }: Selected): Promise<void> {
    const { writer, made } = this.#job
    const destination = prepareDestination(this.#job)
    if (destination.node !== undefined && destination.node.type !== 'directory') throw notADirectory(destination.key)
    const target = makeDirectories(writer, bytes(destination.key), made)
    try {
      await this.#contents({ node, key: '', included: true, state: { include: undefined, exclude: undefined } }, target, filter)
      for (const left of await this.#plain.finish()) await this.single(left.node, left.key)
    } finally {
      await this.#plain.idle()
    }
    if (!isEmptyView(this.#view)) writer.laterTimes(target, timeOf(node.stat))
  }

  /** Depth first with a stack of its own: depth is the source's choice. */
  async #contents(top: Visit, target: Key, filter: Selected['filter']): Promise<void> {
    const { slice } = this.#job
    const stack: Level[] = [{ visit: top, entries: filter.children(this.#view, top.node, ''), there: 'directory' }]
    for (let current = stack.at(-1); current !== undefined; current = stack.at(-1)) {
      const { value: visit, done } = current.entries.next()
      if (done === true) {
        stack.pop()
        continue
      }
      if (slice.isOver()) await slice.yield()
      if (visit.included) {
        // Directories on the way to something wanted are made when it is found (F22).
        for (const level of stack) {
          if (!level.visit.included && level.made !== true) this.#makeParent(level.visit.node, joinKey(target, level.visit.key))
          level.made = true
        }
      }
      const key = joinKey(target, visit.key)
      const plain = visit.node.type === 'file' ? this.#metadata(visit.node, NONE) : undefined
      if (plain !== undefined && this.#plain.takes(visit.node, key, plain)) {
        const pending = this.#plain.add(visit.node, key, plain)
        if (pending !== undefined) await pending
      } else if (visit.node.type !== 'directory') await this.single(visit.node, key)
      else {
        const there = visit.included ? this.#makeDirectory(visit.node, key) : this.#onTheWay(current, key)
        stack.push({ visit, entries: filter.children(this.#view, visit.node, visit.key, visit.state), there })
      }
    }
  }

  /** F12: a directory that is there gets the source's metadata. */
  #makeDirectory(node: TreeNode, key: Key): 'directory' {
    const { writer } = this.#job
    if (!this.#isDirectory(key)) writer.directory(key, 0o700)
    const { time, ...metadata } = this.#metadata(node)
    writer.setMetadata(key, 'directory', metadata)
    if (time !== undefined) writer.laterTimes(key, time)
    return 'directory'
  }

  /** fsutil asks what is at the destination of every directory that it walks: below a file that fails, whether or not anything there is wanted. */
  #onTheWay(above: Level, key: Key): Level['there'] {
    if (above.there === 'file') throw notADirectory(parentKey(key))
    const type = above.there === 'directory' || above.made === true ? this.#job.writer.at(key)?.type : undefined
    if (type === undefined || type === 'symlink') return 'nothing'
    return type === 'directory' ? type : 'file'
  }

  /**
   * F22, F23: a directory that is made, or was there, because something in it is wanted. As with fsutil's createParentDirs, one that is there gets the
   * source's own mode and nothing else, and what is put into them then changes their times.
   */
  #makeParent(node: TreeNode, key: Key): void {
    const { writer, spec } = this.#job
    if (this.#isDirectory(key)) {
      writer.setMetadata(key, 'directory', { mode: node.stat.mode & 0o7777 })
      return
    }
    const { time, ...metadata } = this.#metadata(node)
    writer.directory(key, 0o700)
    writer.setMetadata(key, 'directory', metadata)
    const kept = spec.createdTime === undefined ? undefined : { seconds: spec.createdTime, nanoseconds: 0 }
    const later = spec.mirror === true ? time : kept
    if (later !== undefined) writer.laterTimes(key, later)
  }

  #isDirectory(key: Key): boolean {
    const existing = this.#job.writer.at(key)
    if (existing !== undefined && existing.type !== 'directory') throw notADirectory(key)
    return existing !== undefined
  }

  async single(node: TreeNode, key: Key): Promise<void> {
    const { writer } = this.#job
    ensureReplaceable(writer, key)
    if (node.type === 'file') {
      if (this.#linked(node, key) === false) await this.#file(node, key)
      return
    }
    if (node.type === 'symlink') {
      writer.symlink(key, this.#view.readlink(node))
      writer.setMetadata(key, node.type, this.#metadata(node))
    } else this.#special(node, key)
  }

  /** As fsutil's copyDevice, which clears the bits of S_IFSOCK: a socket becomes an empty file and a block device a character device (F24). */
  #special(node: TreeNode, key: Key): void {
    const { writer } = this.#job
    const { mode, rdevMajor, rdevMinor } = node.stat
    const [major, minor] = node.type === 'socket' ? [0, 0] : [rdevMajor, rdevMinor]
    writer.node(key, mode & (S_IFMT | 0o700) & ~S_IFSOCK, major, minor)
    const type = node.type === 'socket' ? 'file' : node.type === 'block' ? 'character' : node.type
    writer.setMetadata(key, type, this.#metadata(node))
  }

  async #file(node: TreeNode, key: Key): Promise<void> {
    const { writer, slice } = this.#job
    const from = this.#view.open(node)
    try {
      const to = writer.file(key)
      try {
        await copyContent(from, to, slice)
        writer.setFileMetadata(key, to, this.#metadata(node))
      } finally {
        sys().close(to)
      }
    } finally {
      sys().close(from)
    }
  }

  #linked(node: TreeNode, key: Key): boolean {
    if (node.stat.nlink < 2) return false
    const inode = this.#view.inode(node)
    const first = this.#links.get(inode)
    if (first === undefined) {
      this.#links.set(inode, key)
      return false
    }
    this.#job.writer.linkUpper(key, first)
    return true
  }

  /** F14: a context's files are root's. F15: --chown and --chmod apply to everything. */
  #metadata(node: TreeNode, xattrs: Map<string, Buffer> = this.#view.xattrs(node)): Metadata {
    const { spec, chmod } = this.#job
    const { stat } = node
    const uid = spec.owner?.uid ?? (this.#resetOwner ? 0 : stat.uid)
    const gid = spec.owner?.gid ?? (this.#resetOwner ? 0 : stat.gid)
    const mode = chmod === undefined ? stat.mode & 0o7777 : chmod.apply(stat.mode)
    return { uid, gid, mode, time: timeOf(stat), xattrs }
  }
}

/** A directory that is being walked. */
interface Level {
  readonly visit: Visit
  readonly entries: Generator<Visit>
  /** What the destination had, or was given, when the walk came to it. */
  readonly there: 'directory' | 'file' | 'nothing'
  /** It was made, or found, because something in it is wanted. */
  made?: boolean
}

function notADirectory(key: Key): TbuildError {
  return new TbuildError('COPY_OVER_FILE', `cannot copy to non-directory: /${shown(key)}`, {
    hint: 'a file or symlink of that name exists at the destination; remove it first or copy to another directory',
  })
}
