import { createHash } from 'node:crypto'
import type { TarEntry } from './tar-reader.ts'

/** A file of the merged tree; all names of one hard-linked file share the node. */
interface Node {
  readonly type: TarEntry['type']
  readonly mode: number
  readonly uid: number
  readonly gid: number
  readonly mtime: number
  readonly data: Buffer
  readonly linkname: string
  readonly device: string
  readonly xattrs: ReadonlyMap<string, Buffer>
}

/** Paths without leading or trailing slash, latin1, to nodes. */
export type Tree = Map<string, Node>

/** Merges layers by the rules of the OCI image spec, layer.md: whiteouts hide what lower layers have, never their own. */
export function applyLayers(layers: readonly (readonly TarEntry[])[]): Tree {
  const tree: Tree = new Map()
  for (const layer of layers) {
    for (const entry of layer) hide(tree, clean(entry.name))
    for (const entry of layer) add(tree, entry)
  }
  return tree
}

function clean(name: string): string {
  return name
    .replace(/^(?:\.?\/)+/, '')
    .replace(/\/+$/, '')
    .replace(/^\.$/, '')
}

function hide(tree: Tree, path: string): void {
  const slash = path.lastIndexOf('/')
  const parent = slash === -1 ? '' : `${path.slice(0, slash)}/`
  const base = path.slice(slash + 1)
  if (base === '.wh..wh..opq') removeBelow(tree, parent)
  else if (base.startsWith('.wh.')) {
    const hidden = `${parent}${base.slice(4)}`
    tree.delete(hidden)
    removeBelow(tree, `${hidden}/`)
  }
}

function removeBelow(tree: Tree, prefix: string): void {
  for (const path of tree.keys()) if (path.startsWith(prefix)) tree.delete(path)
}

function add(tree: Tree, entry: TarEntry): void {
  const path = clean(entry.name)
  if (path === '' || path.slice(path.lastIndexOf('/') + 1).startsWith('.wh.')) return
  if (entry.type === 'link') {
    const target = tree.get(clean(entry.linkname))
    if (target === undefined) throw new Error(`hard link ${path} to ${entry.linkname}, which is not there`)
    tree.set(path, target)
    return
  }
  if (entry.type !== 'directory') removeBelow(tree, `${path}/`)
  tree.set(path, {
    type: entry.type,
    mode: entry.mode,
    uid: entry.uid,
    gid: entry.gid,
    mtime: entry.mtime,
    data: entry.data,
    linkname: entry.linkname,
    device: `${entry.major}:${entry.minor}`,
    xattrs: entry.xattrs,
  })
}

/**
 * The tree as lines: `file 644 0:0 3 98ea6e4f216f`, `directory 755 0:0`, `symlink 0:0 -> target`, then xattrs, `=path` for a hard link (the first of
 * its names), and `@mtime` when asked for. Paths that are not UTF-8 are escaped.
 */
export function describeTree(tree: Tree, options: { mtimes?: readonly string[] } = {}): Map<string, string> {
  const first = new Map<Node, string>()
  const lines = new Map<string, string>()
  for (const path of [...tree.keys()].sort()) {
    const node = tree.get(path) as Node
    const shown = readable(path)
    const twin = first.get(node)
    if (twin === undefined) first.set(node, shown)
    const mtime = options.mtimes?.includes(shown) ? ` @${Math.floor(node.mtime)}` : ''
    lines.set(shown, `${describeNode(node)}${twin === undefined ? '' : ` =${twin}`}${mtime}`)
  }
  return lines
}

function describeNode(node: Node): string {
  const owner = `${node.uid}:${node.gid}`
  const mode = node.mode.toString(8)
  const xattrs = [...node.xattrs]
    .sort()
    .map(([name, value]) => ` ${name}=${value.toString('hex')}`)
    .join('')
  switch (node.type) {
    case 'file':
      return `file ${mode} ${owner} ${node.data.length} ${createHash('sha256').update(node.data).digest('hex').slice(0, 12)}${xattrs}`
    case 'symlink':
      return `symlink ${owner} -> ${readable(node.linkname)}${xattrs}`
    case 'char':
    case 'block':
      return `${node.type} ${mode} ${owner} ${node.device}${xattrs}`
    default:
      return `${node.type} ${mode} ${owner}${xattrs}`
  }
}

function readable(latin1: string): string {
  const bytes = Buffer.from(latin1, 'latin1')
  const text = bytes.toString('utf8')
  return Buffer.from(text, 'utf8').equals(bytes) ? text : latin1.replace(/[\x80-\xff]/g, (char) => `\\x${char.charCodeAt(0).toString(16)}`)
}
