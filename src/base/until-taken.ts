/**
 * What a listener answered, as something to wait for: undefined when it is no promise, or when the build has ended. The end of the build ends the wait too:
 * whoever does not read must not keep it from ending.
 */
export function untilTaken(answer: unknown, signal: AbortSignal | undefined): Promise<void> | undefined {
  if (typeof (answer as PromiseLike<unknown> | null | undefined)?.then !== 'function') return undefined
  const taken = answer as PromiseLike<unknown>
  if (signal?.aborted) {
    taken.then(undefined, () => {})
    return undefined
  }
  return new Promise<void>((resolve, reject) => {
    const ended = () => resolve()
    signal?.addEventListener('abort', ended)
    const settle = (run: () => void) => {
      signal?.removeEventListener('abort', ended)
      run()
    }
    taken.then(
      () => settle(resolve),
      (error: unknown) => settle(() => reject(error)),
    )
  })
}
