/**
 * What is made once a key, also when it is asked for again before it is there. A failure stays, as it does not in base/shared.ts: a walk ends with the
 * first, and a step that failed is neither tried nor told again by those that stand on it.
 */
export function remember<K, V>(known: Map<K, Promise<V>>, key: K, make: () => Promise<V>): Promise<V> {
  let value = known.get(key)
  if (value === undefined) {
    value = make()
    known.set(key, value)
  }
  return value
}
