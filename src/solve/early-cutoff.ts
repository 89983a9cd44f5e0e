import type { Vertex } from '../graph/op.ts'
import { areDirectories } from '../layers/states.ts'
import type { LayerCatalog } from '../layers/types.ts'
import type { StepKey } from '../ops/step-cache.ts'
import type { CacheIndex, CacheRecord, LayerId, Snapshot } from '../store/types.ts'
import { sameLayer } from '../tree/same-layer.ts'
import { actionOf } from './key.ts'

/** Earlier records that are looked at. */
const CANDIDATES = 8

export interface EarlyCutoffDeps {
  readonly cache: CacheIndex
  readonly layers: Pick<LayerCatalog, 'where' | 'directories'>
  readonly signal: AbortSignal
}

/**
 * Early cutoff: a record of the same step that did the same to the same files, though something below it was made in another way. All of its layers
 * are taken over, not only its own: they are the same layer for layer, but for times, and so what is built on it is the same image as before.
 *
 * Only layers that a RUN made are compared. The layer of a COPY is what its key says, so with another key it has other files.
 */
export async function findEarlyCutoff(
  vertex: Vertex,
  key: StepKey,
  root: Snapshot,
  deps: EarlyCutoffDeps,
): Promise<CacheRecord | undefined> {
  const action = actionOf(key.parts)
  for (const { key: digest, parts, layers } of await deps.cache.nearest(vertex.step, CANDIDATES)) {
    if (digest === key.digest || layers.length !== root.length + 1 || actionOf(parts) !== action) continue
    // Found again by its key, so that gc leaves its layers alone.
    const record = await deps.cache.find(digest)
    if (record !== undefined && (await sameRoot(vertex, root, record.layers.slice(0, -1), deps))) return record
  }
  return undefined
}

async function sameRoot(vertex: Vertex, root: Snapshot, other: Snapshot, deps: EarlyCutoffDeps): Promise<boolean> {
  const pairs: [LayerId, LayerId][] = []
  let maker = vertex.root
  for (let at = root.length - 1; at >= 0; at -= 1, maker = maker?.root) {
    const pair: [LayerId, LayerId] = [root[at] as LayerId, other[at] as LayerId]
    if (pair[0] === pair[1]) continue
    if (maker?.op.kind !== 'exec') return false
    pairs.push(pair)
  }
  for (const pair of pairs) if (!(await sameFiles(pair, deps))) return false
  return true
}

async function sameFiles([one, other]: [LayerId, LayerId], { layers, signal }: EarlyCutoffDeps): Promise<boolean> {
  if (!areDirectories(await layers.where([one, other]))) return false
  const [left, right] = await layers.directories([one, other], signal)
  return sameLayer(left as string, right as string, { signal })
}
