import { chainDigests, type Digest, sha256 } from '../../base/digest.ts'
import type { GitOp, HttpOp } from '../../graph/op.ts'
import type { Platform } from '../../values/platform.ts'
import { type Node, opNode } from './node.ts'
import { digestOf, omitEmpty } from './op-json.ts'

/** BuildKit's solver/llbsolver/ops/source.go. */
function sourceDigest(key: string): Digest {
  return sha256(`buildkit.source.v0:${key}`)
}

/** What an image is known by: the digest that its name resolved to (of an index, where it has one), and its layers. */
export interface ImageIdentity {
  readonly resolved: Digest
  readonly diffIds: readonly Digest[]
}

/** source/containerimage/pull.go: two keys, so that the same layers under another manifest are found. */
export function imageNode({ resolved, diffIds }: ImageIdentity, platform: Platform): Node {
  const { os, architecture, variant = '', osVersion = '' } = platform
  const manifest = digestOf({ Digest: resolved, OS: os, Arch: architecture, ...omitEmpty({ Variant: variant, OSVersion: osVersion }) })
  const chain = chainDigests(diffIds).at(-1)
  return opNode([manifest, ...(chain === undefined ? [] : [chain])].map(sourceDigest))
}

/** What a URL was found to be. */
export interface FetchedUrl {
  readonly digest: Digest
  /** Seconds; 0 without Last-Modified. */
  readonly mtime: number
}

/** source/http/source.go. The name is that of the URL, not the server's; with --checksum nobody is asked, and there is no time. */
export function httpNode(op: HttpOp, { digest, mtime }: FetchedUrl): Node {
  const modified = op.checksum === undefined && mtime !== 0 ? new Date(mtime * 1000).toUTCString() : ''
  const head = { Filename: op.filename, Perm: 0, UID: 0, GID: 0, Checksum: digest }
  return opNode([sourceDigest(digestOf({ ...head, ...omitEmpty({ LastModTime: modified }) }))])
}

/** source/git/source.go: with what newer versions add to the key, and without. */
export function gitNode({ keepGitDir, subdir = '', submodules }: GitOp, commit: string, ref: string | undefined): Node {
  const folder = subdir === '' || subdir === '/' ? '' : `:${subdir}`
  const older = `${commit}${keepGitDir ? '.git' : ''}${folder}`
  const newer = `${commit}${keepGitDir ? `.git${ref === undefined ? '' : `#${ref}`}` : ''}${folder}${submodules ? '' : '(skip-submodules)'}`
  return opNode([...new Set([newer, older])].map(sourceDigest))
}
