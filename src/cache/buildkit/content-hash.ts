import { readSync } from 'node:fs'
import { type Digest, hexOf, parseDigest, RunningHash, sha256 } from '../../base/digest.ts'
import { sys } from '../../base/sys.ts'
import { TimeSlice } from '../../base/time-slice.ts'
import { baseName, cleanPath } from '../../go/path.ts'
import { isSettled } from '../../store/file-digests.ts'
import type { KnownFiles } from '../../tree/hash.ts'
import type { TreeNode, TreeView } from '../../tree/types.ts'
import { includedNodes } from './content-walk.ts'
import type { Selection } from './node.ts'
import { joinedDigest } from './op-json.ts'

export interface ContentHashOptions {
  /** Files that a client sends: owned by 0:0, and their root directory has no header. */
  readonly sent: boolean
  readonly files?: KnownFiles
  readonly signal?: AbortSignal | undefined
}

const READ = 256 * 1024

/** The types of a tar header. A socket is sent as an empty file. */
const TYPE_FLAGS: Readonly<Record<TreeNode['type'], string>> = {
  file: '0',
  symlink: '2',
  character: '3',
  block: '4',
  directory: '5',
  fifo: '6',
  socket: '0',
}

/**
 * BuildKit's content hash of selected files (cache/contenthash): what a record of a COPY or a bind mount is found by, whatever made the files. A file is the
 * digest of its tar header without name and times, and of its bytes; a directory that of its own header and of names and digests below it.
 * Undefined when a path is not there.
 */
export async function contentDigest(
  view: TreeView,
  selections: readonly Selection[],
  options: ContentHashOptions,
): Promise<Digest | undefined> {
  const hasher = new ContentHasher(view, options)
  const digests: Digest[] = []
  for (const selection of selections.length === 0 ? [{ path: '/' }] : selections) {
    const digest = await hasher.selected(selection)
    if (digest === undefined) return undefined
    digests.push(digest)
  }
  return joinedDigest(digests)
}

class ContentHasher {
  readonly #view: TreeView
  readonly #options: ContentHashOptions
  readonly #slice: TimeSlice
  readonly #now = Date.now()
  readonly #buffer = Buffer.allocUnsafe(READ)

  constructor(view: TreeView, options: ContentHashOptions) {
    this.#view = view
    this.#options = options
    this.#slice = new TimeSlice(options.signal)
  }

  async selected(selection: Selection): Promise<Digest | undefined> {
    const { path, followLinks = false, wildcard = false, include, exclude } = selection
    if (!wildcard && include === undefined && exclude === undefined) {
      const node = this.#view.resolve(cleanPath(`/${path}`), { follow: followLinks })
      return node === undefined ? undefined : this.#tree(node)
    }
    const found: { name: string; digest: Digest }[] = []
    for (const { node, path: key } of includedNodes(this.#view, selection)) {
      const target = followLinks && node.type === 'symlink' ? this.#view.resolve(node.path, { follow: true }) : node
      if (target === undefined) return undefined
      const digest = target === node ? await this.#header(node) : await this.#tree(target)
      found.push({ name: baseName(key), digest })
    }
    const [first] = found
    if (first === undefined) return sha256('')
    if (found.length === 1 && first.name === baseName(latin1(cleanPath(`/${path}`)))) return first.digest
    return sha256(Buffer.from(found.map(({ name, digest }) => name + digest).join('\0'), 'latin1'))
  }

  /** With all below it; links in it are not followed. */
  async #tree(top: TreeNode): Promise<Digest> {
    if (top.type !== 'directory') return this.#header(top)
    const hash = new RunningHash().update(`\0${await this.#header(top)}`)
    for (const child of this.#view.children(top)) {
      if (this.#slice.isOver()) await this.#slice.yield()
      hash
        .update('\0')
        .update(child.name)
        .update(await this.#tree(child))
    }
    return hash.finish()
  }

  /** One file without its name, or a directory without what is in it. */
  async #header(node: TreeNode): Promise<Digest> {
    if (this.#options.sent && node === this.#view.root) return sha256('')
    if (node.type !== 'file') return sha256(this.#tarHeader(node))
    const files = isSettled(node.stat, this.#now) ? this.#options.files : undefined
    const known = files?.get(node.stat)
    if (known !== undefined) return parseDigest(`sha256:${known}`)
    const digest = await this.#file(node)
    files?.set(node.stat, hexOf(digest))
    return digest
  }

  async #file(node: TreeNode): Promise<Digest> {
    const hash = new RunningHash().update(this.#tarHeader(node))
    const fd = this.#view.open(node)
    try {
      for (let count = readSync(fd, this.#buffer); count > 0; count = readSync(fd, this.#buffer)) {
        hash.update(this.#buffer.subarray(0, count))
        if (this.#slice.isOver()) await this.#slice.yield()
      }
    } finally {
      sys().close(fd)
    }
    return hash.finish()
  }

  /** Tarsum, version 1 (cache/contenthash/tarsum.go), of a header without name. */
  #tarHeader(node: TreeNode): Buffer {
    const { stat, type } = node
    const { uid, gid } = this.#options.sent ? { uid: 0, gid: 0 } : stat
    const isDevice = type === 'character' || type === 'block'
    const fields: readonly (readonly [string, string | number])[] = [
      ['name', ''],
      ['mode', type === 'symlink' ? 0o777 : stat.mode & 0o7777],
      ['uid', uid],
      ['gid', gid],
      ['size', type === 'file' ? stat.size : 0],
      ['typeflag', TYPE_FLAGS[type]],
      ['linkname', type === 'symlink' ? this.#view.readlink(node).toString('latin1') : ''],
      ['uname', ''],
      ['gname', ''],
      ['devmajor', isDevice ? stat.rdevMajor : 0],
      ['devminor', isDevice ? stat.rdevMinor : 0],
    ]
    const head = Buffer.from(fields.map(([name, value]) => `${name}${value}`).join(''), 'latin1')
    const attributes = [...this.#view.xattrs(node)].filter(([name]) => name === 'security.capability' || !/^(security|system)\./.test(name))
    if (attributes.length === 0) return head
    attributes.sort(([a], [b]) => (a < b ? -1 : 1))
    return Buffer.concat([head, ...attributes.flatMap(([name, value]) => [Buffer.from(name, 'latin1'), value])])
  }
}

function latin1(text: string): string {
  return Buffer.from(text).toString('latin1')
}
