import { canonicalJson, type Json } from '../base/canonical-json.ts'
import { type Digest, sha256 } from '../base/digest.ts'
import type { StepKey } from '../ops/step-cache.ts'
import type { RootPart } from '../ops/types.ts'
import type { KeyPart } from '../store/types.ts'

/** Raised when the meaning of a part or of an op's result changes: old records are then never found. */
const KEY_VERSION = 4

export function stepKey(kind: string, root: RootPart, parts: readonly KeyPart[]): StepKey {
  const all: KeyPart[] = [{ name: 'version', value: KEY_VERSION }, { name: 'op', value: kind }, { name: 'root', value: root }, ...parts]
  return { digest: digestOf(all), parts: all }
}

/** The root of what stands on a layer that is keyed by itself: the layer and all that is below it. */
export function chainOf(below: RootPart, key: StepKey): Digest {
  return sha256(canonicalJson(['chain', below, key.digest]))
}

/** All but the root: two steps with the same do the same to what they are put on. */
export function actionOf(parts: readonly KeyPart[]): Digest {
  return digestOf(parts.filter(({ name }) => name !== 'root'))
}

/** The parts are framed by their JSON: no two lists of parts share a text (K21). */
function digestOf(parts: readonly KeyPart[]): Digest {
  return sha256(canonicalJson(parts.map(({ name, value }): Json => [name, value])))
}
