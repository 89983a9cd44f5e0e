import { canonicalJson } from '../base/canonical-json.ts'
import { type Digest, sha256 } from '../base/digest.ts'

/**
 * A layer by its content, which is the same on every machine: its diffID, and the layers that it was made over, for the difference to them is what its tar is.
 * Those are not always the layers that it stands on in an image: a COPY --link is made over none.
 */
export interface LayerName {
  readonly diffId: Digest
  /** Bottom first. */
  readonly over: readonly LayerName[]
  /** The whole name in one. Where each layer was made over all below it, as those of an image are, it is the chainID (OCI image spec, config.md). */
  readonly digest: Digest
}

export function layerName(diffId: Digest, over: readonly LayerName[]): LayerName {
  return { diffId, over, digest: digestOf(diffId, over) }
}

function digestOf(diffId: Digest, over: readonly LayerName[]): Digest {
  const top = over.at(-1)
  if (top === undefined) return diffId
  if (isStack(over)) return sha256(`${top.digest} ${diffId}`)
  return sha256(canonicalJson({ diffId, over: over.map(({ digest }) => digest) }))
}

/** Each was made over all that are below it. */
function isStack(layers: readonly LayerName[]): boolean {
  return layers.every(({ over }, index) => over.length === index && over.every(({ digest }, at) => digest === layers[at]?.digest))
}
