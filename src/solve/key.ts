import { canonicalJson } from '../base/canonical-json.ts'
import { type Digest, sha256 } from '../base/digest.ts'
import type { KeyPart } from '../store/types.ts'

/** Raised when the meaning of a part or of an op's result changes: old records are then never found. */
const KEY_VERSION = 1

/** A cache key with what it was made of, so that a miss can be explained by comparing parts. */
export interface StepKey {
  readonly digest: Digest
  readonly parts: readonly KeyPart[]
}

export function stepKey(kind: string, root: Digest | undefined, parts: readonly KeyPart[]): StepKey {
  const all: KeyPart[] = [
    { name: 'version', value: KEY_VERSION },
    { name: 'op', value: kind },
    { name: 'root', value: root ?? null },
    ...parts,
  ]
  // The parts are framed by their JSON: no two lists of parts share a text (K21).
  return { digest: sha256(canonicalJson(all.map(({ name, value }) => [name, value]))), parts: all }
}
