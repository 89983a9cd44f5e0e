import { encodeName } from '../../base/utf8.ts'
import { hasWildcard } from '../../go/match.ts'
import { baseName, cleanPath } from '../../go/path.ts'
import type { CopyOp, WorkdirOp } from '../../graph/op.ts'
import { splitParents } from '../../tree/selection.ts'
import { type Base, type ContentRequest, Inputs, type Node, type NodeInput, opNode, type Selection } from './node.ts'
import { digestOf, type GoJson, goJson, joinedDigest, omitEmpty } from './op-json.ts'
import { dedupeSelections } from './selectors.ts'

/** One source of a COPY: `content` names its files, when it has files to be hashed. */
export interface FileSource {
  readonly node: Base
  readonly vertex?: ContentRequest['source']
}

interface Action {
  readonly json: GoJson
  /** Position in the inputs, or -1. */
  readonly secondary: number
}

/** WORKDIR (dockerfile2llb, dispatchWorkdir). */
export function workdirNode(op: WorkdirOp, base: Base): Node {
  const inputs = new Inputs()
  const at = inputs.add(base)
  const owner = op.user === '' ? undefined : ownerOf(op.user, at)
  const mkdir = omitEmpty({ path: op.path, mode: 0o755, makeParents: true, owner, timestamp: timestamp(op.createdTime) })
  return fileNode(inputs, at, [{ json: mkdir, secondary: -1 }], new Map())
}

/** The directory in which a new cache mount with an owner or a mode begins. */
export function cacheDirectoryNode(base: Base, { mode = 0o755, uid = 0, gid = 0 }: { mode?: number; uid?: number; gid?: number }): Node {
  const inputs = new Inputs()
  const owner = { user: userById(uid), group: userById(gid) }
  const mkdir = omitEmpty({ path: '/cache', mode: mode & 0o777, owner, timestamp: -1 })
  return fileNode(inputs, inputs.add(base), [{ json: mkdir, secondary: -1 }], new Map())
}

/** A heredoc: a file on scratch. */
export function heredocNode(name: string, text: string, mode: number): Node {
  const data = encodeName(text).toString('base64')
  const mkfile = omitEmpty({ path: cleanPath(`/${name}`), mode, data, timestamp: -1 })
  return fileNode(new Inputs(), -1, [{ json: mkfile, secondary: -1 }], new Map())
}

/** COPY and ADD (dockerfile2llb, dispatchCopy). `sources`: as many as the op's, undefined for a heredoc. */
export function copyNode(op: CopyOp, base: Base, sources: readonly (FileSource | undefined)[]): Node {
  const inputs = new Inputs()
  const at = inputs.add(base)
  const owner = op.chown === undefined ? undefined : ownerOf(op.chown, at)
  const selections = new Map<number, { vertex: FileSource['vertex']; list: Selection[] }>()
  const actions = op.sources.map((source, index): Action => {
    if (source.kind === 'content') {
      const secondary = inputs.add(heredocNode(source.name, source.text, 0o644))
      select(selections, secondary, { path: cleanPath(`/${source.name}`) }, undefined)
      return { json: copyAction(op, owner, { src: source.name, kind: 'other' }), secondary }
    }
    const { node, vertex } = sources[index] as FileSource
    const secondary = inputs.add(node)
    const isPath = vertex !== undefined || node === null
    const { path, include } = op.parents ? parentsOf(source.path) : { path: source.path, include: [] }
    const wanted = selectionOf(op, path, include, isPath)
    if (secondary >= 0) select(selections, secondary, wanted, vertex)
    const src = secondary >= 0 ? baseName(wanted.path) : wanted.path
    const unpack = source.unpack === 'auto' || source.unpack
    return { json: copyAction(op, owner, { src, kind: isPath ? 'path' : 'other', unpack, include }), secondary }
  })
  // What the op changes is no source of it, though files are copied from there, too.
  selections.delete(at)
  return fileNode(inputs, at, actions, selections)
}

function parentsOf(source: string): { path: string; include: string[] } {
  const { base, pattern } = splitParents(source)
  return { path: cleanPath(`/${base}`), include: [pattern] }
}

function selectionOf(op: CopyOp, path: string, include: readonly string[], isPath: boolean): Selection {
  const exclude = op.exclude
  return {
    path,
    ...(isPath ? { followLinks: true, ...(hasWildcard(path) ? { wildcard: true } : {}) } : {}),
    ...(include.length > 0 ? { include } : {}),
    ...(exclude.length > 0 ? { exclude } : {}),
  }
}

function select(
  selections: Map<number, { vertex: FileSource['vertex']; list: Selection[] }>,
  input: number,
  selection: Selection,
  vertex: FileSource['vertex'],
): void {
  const known = selections.get(input)
  if (known === undefined) selections.set(input, { vertex, list: [selection] })
  else known.list.push(selection)
}

interface CopyAction {
  readonly src: string
  /** Files of a directory tree, or one file that was made or fetched for this. */
  readonly kind: 'path' | 'other'
  readonly unpack?: boolean
  readonly include?: readonly string[]
}

/** solver/pb FileActionCopy. */
function copyAction(op: CopyOp, owner: GoJson | undefined, { src, kind, unpack = false, include = [] }: CopyAction): GoJson {
  const path = kind === 'path'
  const octal = op.chmod !== undefined && /^[0-7]+$/.test(op.chmod)
  return omitEmpty({
    src,
    dest: op.written ?? op.destination,
    owner,
    mode: octal ? Number.parseInt(op.chmod as string, 8) : op.chmod === undefined ? -1 : 0,
    followSymlink: path,
    dirCopyContents: path,
    attemptUnpackDockerCompatibility: unpack,
    createDestPath: true,
    allowWildcard: path,
    allowEmptyWildcard: path,
    timestamp: timestamp(op.createdTime),
    include_patterns: include,
    exclude_patterns: op.exclude,
    modeStr: octal ? undefined : op.chmod,
  })
}

/** solver/llbsolver/ops/file.go, CacheMap. */
function fileNode(
  inputs: Inputs,
  base: number,
  actions: readonly Action[],
  selections: ReadonlyMap<number, { vertex: FileSource['vertex']; list: readonly Selection[] }>,
): Node {
  const count = inputs.nodes.length
  const indexes = actions.map(({ secondary }, index) => [
    index === 0 ? base : count + index - 1,
    secondary,
    index === actions.length - 1 ? 0 : -1,
  ])
  const encoded = actions.map(({ json }) => Buffer.from(goJson(json)).toString('base64'))
  const usual = isUsual(indexes)
  const digest = digestOf({ Type: 'buildkit.file.v0', Actions: encoded, ...(usual ? {} : { indexes }) })
  const links = inputs.nodes.map((node, index): NodeInput => {
    const selected = selections.get(index)
    if (selected === undefined) return { node }
    const { vertex, list } = selected
    const selector = joinedDigest(
      list
        .map(({ path }) => path)
        .sort()
        .reverse(),
    )
    const content = vertex === undefined ? {} : { content: { source: vertex, selections: dedupeSelections(list) } }
    return { node, selector, ...content }
  })
  return opNode([digest], links, JSON.stringify([...selections].map(([, { list }]) => list)))
}

/** Positions that older versions left out of the key (isDefaultIndexes). */
function isUsual(indexes: readonly (readonly number[])[]): boolean {
  const last = indexes.length - 1
  return (
    indexes.length > 0 &&
    indexes.every(
      ([input, secondary, output], index) =>
        input === (index === 0 ? 0 : indexes.length + index - 1) &&
        (secondary === -1 || secondary === 1) &&
        output === (index === last ? 0 : -1),
    )
  )
}

/** `user[:group]` (client/llb, WithUser): a name is looked up in the input that the op changes. */
function ownerOf(text: string, input: number): GoJson {
  const at = text.indexOf(':')
  const user = userOf(at < 0 ? text : text.slice(0, at), input)
  return at < 0 ? { user } : { user, group: userOf(text.slice(at + 1), input) }
}

function userOf(text: string, input: number): GoJson {
  if (text === '' || text === 'root') return userById(0)
  const id = /^[+-]?\d+$/.test(text) ? Number(text) : Number.NaN
  if (id >= -(2 ** 31) && id < 2 ** 31) return userById(id >>> 0)
  return { User: { byName: omitEmpty({ name: text, input }) } }
}

function userById(id: number): GoJson {
  return { User: omitEmpty({ byId: id }) }
}

/** Nanoseconds. */
function timestamp(seconds: number | undefined): bigint {
  return seconds === undefined ? -1n : BigInt(seconds) * 1_000_000_000n
}
