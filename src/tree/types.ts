import type { SysStat } from '../base/sys-values.ts'
import type { Key } from './path.ts'

/**
 * Inside a root file system that nobody else is changing. Every path here is hostile and in-root: resolved component by component, absolute symlinks
 * start again at the root, `..` stops there. Names are bytes. No mounts: a view merges layer directories by overlayfs's rules (whiteouts, opaque
 * directories), a writer writes an upper directory over a view.
 */
export interface TreeView {
  /** The node that `path` names, symlinks in all but the last component followed, the last only with `follow`. Undefined when there is none. ELOOP after 255 links. */
  resolve(path: Uint8Array | string, options?: { follow?: boolean }): TreeNode | undefined
  /** The root directory itself: key '', not subject to an ignore file. */
  readonly root: TreeNode
  /** One name of a directory, not followed. A Uint8Array, or a string whose code units are the bytes (latin1), as file names inside tree/ are. */
  child(directory: TreeNode, name: Uint8Array | string): TreeNode | undefined
  /** Entries of a directory, merged, sorted by bytes. */
  children(node: TreeNode): TreeNode[]
  readlink(node: TreeNode): Buffer
  /** A read-only fd of a regular file; never a device or fifo. The caller closes it. */
  open(node: TreeNode): number
  xattrs(node: TreeNode): Map<string, Buffer>
  /** Where on disk `children` found the node, for working on many files of one directory at once; undefined when it was found otherwise. */
  listing?(node: TreeNode): Listing | undefined
  /**
   * All that is in a directory as it is now, read at once, for a walk that looks at everything there and changes nothing. Undefined where that is not one
   * directory on disk.
   */
  scan?(directory: TreeNode): Promise<TreeScan | undefined>
  /** For hard links: nodes with the same key are the same inode. */
  inode(node: TreeNode): string
}

export interface TreeScan {
  /** As of a view; a file that `known` has something for is that, and no node is made of it. The stat is good until `known` returns. */
  children(directory: TreeNode, known?: (name: Key, stat: SysStat) => string | undefined): (TreeNode | string)[]
  /**
   * Of the names and stats of everything, and of what decides which of it the view shows: two scans of the same digest show the same files. Undefined when a
   * directory could not be read.
   */
  readonly digest: string | undefined
  /** The last time at which any of it changed. */
  readonly newest: Pick<SysStat, 'mtimeSeconds' | 'ctimeSeconds'>
}

/** One directory on disk: the same object for all that one call of `children` found in it. */
export interface Listing {
  /** An O_PATH descriptor, the view's own: it may be closed as soon as anything else is asked for or awaited. */
  fd(): number
}

export interface TreeNode {
  /** Where the node really is in the root: no symlinks, no leading slash, '' for the root. */
  readonly path: Buffer
  readonly name: Buffer
  readonly stat: SysStat
  readonly type: 'file' | 'directory' | 'symlink' | 'character' | 'block' | 'fifo' | 'socket'
}

/** What a COPY or ADD does, all names already expanded and resolved: BuildKit's FileActionCopy (solver/pb/ops.proto). */
export interface CopySpec {
  readonly sources: readonly CopySource[]
  /** Absolute; a trailing `/` says directory. */
  readonly destination: string
  readonly owner?: { readonly uid: number; readonly gid: number }
  /** Octal (`0755`) or symbolic (`u+x,go=rX`), evaluated a file (F21). */
  readonly chmod?: string
  /** `--link`: destination symlinks are not followed, parents become real directories (F10). */
  readonly link: boolean
  readonly parents: boolean
  /** dockerignore-style patterns relative to each source. */
  readonly exclude: readonly string[]
  /** SOURCE_DATE_EPOCH seconds for directories that are made, otherwise now. */
  readonly createdTime?: number
  /** Directories on the way to what is wanted keep their times, as in a copy of a context that is mounted. */
  readonly mirror?: boolean
}

export type CopySource =
  | {
      readonly kind: 'path'
      readonly view: TreeView
      /** Below the view's root; may hold Go filepath.Match wildcards. With `exact` a key that alone is wanted (Selector). */
      readonly path: string
      readonly exact?: boolean
      /** ADD: 'auto' unpacks local archives; true and false are --unpack. */
      readonly unpack: 'auto' | boolean
      /** Sources of a local context: uid and gid 0 (F14). A remote file has its name here and mode 0600. */
      readonly resetOwner: boolean
    }
  | { readonly kind: 'content'; readonly name: string; readonly data: Uint8Array; readonly mode: number; readonly mtime?: number }
