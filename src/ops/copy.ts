import { encodeName } from '../base/utf8.ts'
import { baseName } from '../go/path.ts'
import type { CopyOp, CopyOpSource } from '../graph/op.ts'
import type { ActiveLayer } from '../snapshot/types.ts'
import type { KeyPart } from '../store/types.ts'
import { copyInto } from '../tree/copy.ts'
import { linkedPaths } from '../tree/linked-paths.ts'
import { lookupOwner } from '../tree/owner.ts'
import type { CopySource } from '../tree/types.ts'
import { layeredView } from '../tree/view.ts'
import { layerWriter } from '../tree/writer.ts'
import type { ContentSelector } from './content.ts'
import { makeLayer, snapshotRef } from './layer.ts'
import { checkOwnerNames } from './owner-names.ts'
import { type Ref, viewOf } from './ref.ts'
import type { OpHandler, Tools } from './types.ts'

/** COPY and ADD. Key: the action with the base names of its sources, and the content of the selected files (K7): never how they were made. */
export const copyHandler: OpHandler<CopyOp> = {
  async key(op, inputs, tools) {
    const parts: KeyPart[] = [
      { name: 'destination', value: op.destination },
      ...(op.chown === undefined ? [] : [{ name: 'chown', value: op.chown }]),
      ...(op.chmod === undefined ? [] : [{ name: 'chmod', value: op.chmod }]),
      ...(op.createdTime === undefined ? [] : [{ name: 'created', value: op.createdTime }]),
      ...(op.exclude.length === 0 ? [] : [{ name: 'exclude', value: op.exclude }]),
      { name: 'flags', value: { link: op.link, parents: op.parents } },
    ]
    for (const [index, source] of op.sources.entries()) {
      parts.push({ name: `source ${index + 1}`, value: await sourceKey(op, source, inputs, tools) })
    }
    return parts
  },

  async run(op, { root, inputs }, tools) {
    // With --link the layer is made on its own, so that it can be put on any base (F10).
    const made = await makeLayer(op.link ? [] : root, tools, (active) => copy(op, active, inputs, tools))
    return snapshotRef(op.link ? [...root, ...made] : made)
  },

  independent: ({ link }) => link,
}

async function sourceKey(op: CopyOp, source: CopyOpSource, inputs: readonly Ref[], tools: Tools) {
  if (source.kind === 'content') return { name: source.name, text: source.text }
  const ref = inputs[source.input]
  if (ref === undefined) return { name: baseName(source.path), unpack: source.unpack, content: null }
  const { parents, exclude, mirror } = op
  const digest = (wanted: Pick<ContentSelector, 'path' | 'exact'>) =>
    tools.content.digest(ref, { ...wanted, parents, exclude, wildcards: true }, tools.signal)
  const content = mirror
    ? await Promise.all(linkedPaths(await viewOf(ref, tools), source.path).map(digest))
    : await digest({ path: source.path })
  return { name: baseName(source.path), unpack: source.unpack, content }
}

async function copy(op: CopyOp, active: ActiveLayer, inputs: readonly Ref[], tools: Tools): Promise<void> {
  if (op.chown !== undefined) checkOwnerNames(op.chown, active)
  const writer = layerWriter(active.upper, layeredView(active.lower))
  const sources: CopySource[] = []
  for (const source of op.sources) {
    const made = await copySource(source, inputs, tools)
    if (op.mirror && made.kind === 'path') sources.push(...linkedPaths(made.view, made.path).map((found) => ({ ...made, ...found })))
    else sources.push(made)
  }
  await copyInto(
    writer,
    {
      sources,
      destination: op.destination,
      link: op.link,
      parents: op.parents,
      exclude: op.exclude,
      ...(op.mirror === true ? { mirror: true } : {}),
      ...(op.chown === undefined ? {} : { owner: lookupOwner(writer, op.chown) }),
      ...(op.chmod === undefined ? {} : { chmod: op.chmod }),
      ...(op.createdTime === undefined ? {} : { createdTime: op.createdTime }),
    },
    {
      signal: tools.signal,
      maxBytes: tools.limits.unpack,
      onSkipped: (message) =>
        tools.emit({ type: 'log', id: tools.vertex, stream: 'stderr', data: Buffer.from(`${message}\n`), time: Date.now() }),
    },
  )
}

async function copySource(source: CopyOpSource, inputs: readonly Ref[], tools: Tools): Promise<CopySource> {
  if (source.kind === 'content') return { kind: 'content', name: source.name, data: encodeName(source.text), mode: 0o644 }
  const ref = inputs[source.input]
  const resetOwner = ref?.kind === 'files' && ref.resetOwner
  return { kind: 'path', view: await viewOf(ref, tools), path: source.path, unpack: source.unpack, resetOwner }
}
