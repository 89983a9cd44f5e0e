import { canonicalJson, type Json } from '../base/canonical-json.ts'
import { type Digest, isDigest } from '../base/digest.ts'
import type { Change } from '../base/explanation.ts'
import { maskUrls } from '../base/mask-url.ts'
import type { CopyOpSource, ExecOp, Vertex } from '../graph/op.ts'
import type { KeyPart } from '../store/types.ts'
import type { HashedFile } from '../tree/hash.ts'
import { looksSecret } from '../values/secret-name.ts'
import { compareFiles, type ListedSource } from './files.ts'

/** Files named for one source; the rest is counted. */
const SHOWN = 20

type Value = Json | undefined

interface PartChange {
  readonly name: string
  readonly before: Value
  readonly now: Value
}

export interface ComparisonDeps {
  readonly files: (digest: Digest) => readonly HashedFile[] | undefined
  /** The vertex that a change below the step began with. */
  readonly origin: (vertex: Vertex) => Vertex
}

/** The parts that differ, in the order of the key. */
export function changedParts(before: readonly KeyPart[], now: readonly KeyPart[]): PartChange[] {
  const [old, current] = [valuesOf(before), valuesOf(now)]
  const names = [...new Set([...current.keys(), ...old.keys()])]
  return names.flatMap((name) => {
    const change = { name, before: old.get(name), now: current.get(name) }
    return same(change.before, change.now) ? [] : [change]
  })
}

function valuesOf(parts: readonly KeyPart[]): Map<string, Json> {
  return new Map(parts.map(({ name, value }) => [name, value]))
}

function same(a: Value, b: Value): boolean {
  return a === undefined || b === undefined ? a === b : canonicalJson(a) === canonicalJson(b)
}

/** What these parts mean to the author of the Dockerfile. */
export function explainParts(vertex: Vertex, parts: readonly PartChange[], comparing: ComparisonDeps): Change[] {
  return parts.flatMap((part) => explainPart(vertex, part, comparing))
}

function explainPart(vertex: Vertex, part: PartChange, comparing: ComparisonDeps): Change[] {
  const { name, before, now } = part
  if (name === 'root') return [rootChange(vertex, before, now, comparing)]
  if (name === 'args' || name === 'script') return [{ type: 'command', from: textOf(before) ?? '', to: textOf(now) ?? '' }]
  if (name.startsWith('env ')) return [variableChange(vertex, name.slice('env '.length), before, now)]
  const [kind, number] = name.split(' ')
  if (kind === 'source' && vertex.op.kind === 'copy') return sourceChanges(part, vertex.op.sources[Number(number) - 1], vertex, comparing)
  if (kind === 'mount' && vertex.op.kind === 'exec') return mountChanges(part, vertex.op.mounts[Number(number) - 1], vertex, comparing)
  return [{ type: 'part', name, from: textOf(before), to: textOf(now) }]
}

function rootChange(vertex: Vertex, before: Value, now: Value, { origin }: ComparisonDeps): Change {
  const { root } = vertex
  if (root !== undefined && root.op.kind !== 'image') {
    const { id, name } = origin(root)
    return { type: 'step', id, name }
  }
  return { type: 'base', name: root?.op.kind === 'image' ? root.op.name : 'scratch', from: baseText(before), to: baseText(now) }
}

function baseText(value: Value): string | undefined {
  if (value === undefined || value === null) return 'scratch'
  return textOf(member(value, 'image')) ?? 'another step'
}

function variableChange({ op }: Vertex, name: string, before: Value, now: Value): Change {
  const secret = looksSecret(name)
  const shown = (value: Value) => (value === undefined ? undefined : secret ? '***' : textOf(value))
  const set = now !== undefined && op.kind === 'exec'
  const kind = !set ? 'variable' : op.argNames?.includes(name) ? 'ARG' : 'ENV'
  return { type: 'variable', kind, name, from: shown(before), to: shown(now), secret, used: op.kind === 'exec' && mentions(op, name) }
}

/** `$NAME` or `${NAME…}` in the command's text; programs may read it all the same. */
function mentions({ args, script }: ExecOp, name: string): boolean {
  const pattern = new RegExp(`\\$(?:\\{[#!]?)?${name.replace(/[^\w]/g, '\\$&')}(?!\\w)`)
  return [...args, script?.text ?? ''].some((text) => pattern.test(text))
}

function sourceChanges(part: PartChange, source: CopyOpSource | undefined, vertex: Vertex, comparing: ComparisonDeps): Change[] {
  const { parents } = vertex.op as Extract<Vertex['op'], { kind: 'copy' }>
  if (source?.kind === 'content') {
    const files = [{ path: source.name, change: 'content' as const }]
    if (member(part.before, 'name') === source.name) return [{ type: 'files', origin: 'heredoc', files, more: 0 }]
  }
  if (source?.kind !== 'path') return [{ type: 'part', name: part.name, from: textOf(member(part.before, 'name')), to: source?.name }]
  return contentChanges(part, { path: source.path, parents }, originOf(vertex.inputs[source.input]), comparing)
}

function mountChanges(part: PartChange, mount: ExecOp['mounts'][number] | undefined, vertex: Vertex, comparing: ComparisonDeps): Change[] {
  if (mount?.type !== 'bind' && mount?.type !== 'cache') return memberChanges(part)
  const from = mount.input === undefined ? undefined : vertex.inputs[mount.input]
  return contentChanges(part, { path: mount.source ?? '/', parents: false }, originOf(from), comparing)
}

/** The content by its files, the other members one by one. */
function contentChanges(part: PartChange, source: ListedSource, origin: string, { files }: ComparisonDeps): Change[] {
  const rest = memberChanges(part).filter((change) => change.type !== 'part' || change.name !== `${part.name} content`)
  const [before, now] = [member(part.before, 'content'), member(part.now, 'content')]
  if (same(before, now) || !isDigest(before)) return rest
  const [old, current] = [files(before), isDigest(now) ? files(now) : []]
  const list = old && current && compareFiles(old, current, source)
  return [{ type: 'files', origin, files: list?.slice(0, SHOWN), more: Math.max(0, (list?.length ?? 0) - SHOWN) }, ...rest]
}

function memberChanges({ name, before, now }: PartChange): Change[] {
  if (!isObject(before) || !isObject(now)) return [{ type: 'part', name, from: textOf(before), to: textOf(now) }]
  const members = [...new Set([...Object.keys(before), ...Object.keys(now)])]
  return members.flatMap((key): Change[] =>
    same(before[key], now[key]) ? [] : [{ type: 'part', name: `${name} ${key}`, from: textOf(before[key]), to: textOf(now[key]) }],
  )
}

/** Where a source's files come from. */
function originOf(vertex: Vertex | undefined): string {
  if (vertex === undefined) return 'scratch'
  switch (vertex.op.kind) {
    case 'context':
      return vertex.op.name === 'context' ? 'build context' : `context ${vertex.op.name}`
    case 'image':
      return vertex.op.name
    case 'http':
      return maskUrls(vertex.op.url)
    case 'git':
      return vertex.op.remote
    default:
      if (vertex.copyOf) return originOf(vertex.copyOf)
      return vertex.stage ? `stage ${vertex.stage}` : vertex.name
  }
}

function isObject(value: Value): value is { readonly [key: string]: Json | undefined } {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function member(value: Value, key: string): Value {
  return isObject(value) ? value[key] : undefined
}

function textOf(value: Value): string | undefined {
  if (value === undefined || value === null) return undefined
  if (isObject(value) && value.hidden !== undefined && value.shown !== undefined) return textOf(value.shown)
  if (Array.isArray(value) && value.every((item) => typeof item === 'string')) return value.join(' ')
  return typeof value === 'object' ? canonicalJson(value) : String(value)
}
