import { encodeName } from '../base/utf8.ts'
import { baseName } from '../go/path.ts'
import type { CopyOp, CopyOpSource } from '../graph/op.ts'
import type { ActiveLayer } from '../snapshot/types.ts'
import type { KeyPart } from '../store/types.ts'
import { copyInto } from '../tree/copy.ts'
import type { DeferredFiles } from '../tree/deferred-files.ts'
import { linkedPaths } from '../tree/linked-paths.ts'
import { lookupOwner } from '../tree/owner.ts'
import type { CopySource } from '../tree/types.ts'
import { layeredView } from '../tree/view.ts'
import { layerWriter } from '../tree/writer.ts'
import type { ContentSelector } from './content.ts'
import { makeLayer, makePackedLayer, snapshotRef } from './layer.ts'
import { writeLog } from './log.ts'
import { checkOwnerNames } from './owner-names.ts'
import { type Ref, type ViewDeps, viewOf } from './ref.ts'
import type { ContentDeps, CopyDeps, OpHandler, StepIo } from './types.ts'

type CopyKeyDeps = ContentDeps & ViewDeps

/** COPY and ADD. Key: the action with the base names of its sources, and the content of the selected files (K7): never how they were made. */
export const copyHandler: OpHandler<CopyOp, CopyKeyDeps, CopyDeps> = {
  async key(op, inputs, deps, io) {
    const parts: KeyPart[] = [
      { name: 'destination', value: op.destination },
      ...(op.chown === undefined ? [] : [{ name: 'chown', value: op.chown }]),
      ...(op.chmod === undefined ? [] : [{ name: 'chmod', value: op.chmod }]),
      ...(op.createdTime === undefined ? [] : [{ name: 'created', value: op.createdTime }]),
      ...(op.exclude.length === 0 ? [] : [{ name: 'exclude', value: op.exclude }]),
      { name: 'flags', value: { link: op.link, parents: op.parents } },
    ]
    for (const [index, source] of op.sources.entries()) {
      parts.push({ name: `source ${index + 1}`, value: await sourceKey(op, source, inputs, deps, io) })
    }
    return parts
  },

  async run(op, { root, inputs, wanted }, deps, io) {
    // With --link the layer is made on its own, so that it can be put on any base (F10).
    const parent = op.link ? [] : root
    const fill = (defers: boolean) => (active: ActiveLayer) => copy({ ...op, defers }, active, inputs, deps, io)
    const packed = wanted && isPlain(op) ? await makePackedLayer(parent, deps, io, wanted, fill(true)) : undefined
    const made = packed ?? (await makeLayer(parent, deps, io, fill(false)))
    return snapshotRef(op.link ? [...root, ...made] : made)
  },

  independent: ({ link }) => link,
}

async function sourceKey(op: CopyOp, source: CopyOpSource, inputs: readonly Ref[], deps: CopyKeyDeps, { signal }: StepIo) {
  if (source.kind === 'content') return { name: source.name, text: source.text }
  const ref = inputs[source.input]
  if (ref === undefined) return { name: baseName(source.path), unpack: source.unpack, content: null }
  const { parents, exclude, mirror } = op
  const digest = (wanted: Pick<ContentSelector, 'path' | 'exact'>) =>
    deps.content.digest(ref, { ...wanted, parents, exclude, wildcards: true }, signal)
  const content = mirror
    ? await Promise.all(linkedPaths(await viewOf(ref, deps, signal), source.path).map(digest))
    : await digest({ path: source.path })
  return { name: baseName(source.path), unpack: source.unpack, content }
}

/** No source is an archive that is unpacked, for which the destination has to be in a directory. */
function isPlain({ sources }: CopyOp): boolean {
  return sources.every((source) => source.kind === 'content' || source.unpack === false)
}

/** `defers`: leaves plain files out of the layer's directory, for `makePackedLayer`. */
async function copy(
  op: CopyOp & { readonly defers: boolean },
  active: ActiveLayer,
  inputs: readonly Ref[],
  deps: CopyDeps,
  io: StepIo,
): Promise<DeferredFiles> {
  if (op.chown !== undefined) checkOwnerNames(op.chown, active)
  const writer = layerWriter(active.upper, layeredView(active.lower))
  const sources: CopySource[] = []
  for (const source of op.sources) {
    const made = await copySource(source, inputs, deps, io)
    if (op.mirror && made.kind === 'path') sources.push(...linkedPaths(made.view, made.path).map((found) => ({ ...made, ...found })))
    else sources.push(made)
  }
  return copyInto(
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
      defers: op.defers,
      signal: io.signal,
      maxBytes: deps.limits.unpack,
      onSkipped: (message) => writeLog(io, 'stderr', Buffer.from(`${message}\n`)),
    },
  )
}

async function copySource(source: CopyOpSource, inputs: readonly Ref[], deps: ViewDeps, { signal }: StepIo): Promise<CopySource> {
  if (source.kind === 'content') return { kind: 'content', name: source.name, data: encodeName(source.text), mode: 0o644 }
  const ref = inputs[source.input]
  const resetOwner = ref?.kind === 'files' && ref.resetOwner
  return { kind: 'path', view: await viewOf(ref, deps, signal), path: source.path, unpack: source.unpack, resetOwner }
}
