/**
 * Work that is done once a key: callers at the same time share it, later ones get what it made. A failure is not kept, so that whoever asks again tries
 * again; and work whose own caller has given up is nobody else's, since it can only fail: whoever waits for it does it anew.
 */
export class SharedWork<K, V> {
  readonly #known = new Map<K, Work<V>>()

  /** `signal`: what ends the work, when it is its first caller's. */
  of(key: K, work: () => Promise<V>, signal?: AbortSignal): Promise<V> {
    const known = this.#known.get(key)
    if (known?.done) return known.value
    if (known !== undefined && known.signal?.aborted !== true) {
      return known.value.catch((error: unknown) => {
        if (known.signal?.aborted !== true || signal?.aborted === true) throw error
        return this.of(key, work, signal)
      })
    }
    const begun: Work<V> = { value: work(), signal, done: false }
    this.#known.set(key, begun)
    begun.value.then(
      () => {
        begun.done = true
      },
      () => {
        if (this.#known.get(key) === begun) this.#known.delete(key)
      },
    )
    return begun.value
  }

  /** What `key` gave is not good any more. */
  forget(key: K): void {
    this.#known.delete(key)
  }

  /** Work under way goes on for those who wait for it. */
  clear(): void {
    this.#known.clear()
  }
}

interface Work<V> {
  readonly value: Promise<V>
  readonly signal: AbortSignal | undefined
  done: boolean
}
