/** Starts `jobs` in order, at most `limit` at once, and none after one has failed, whose failure is then theirs. */
export function inParallel<T>(jobs: readonly (() => Promise<T>)[], limit: number): Promise<T>[] {
  const waiting: (() => void)[] = []
  let free = limit
  let failed: Promise<T> | undefined
  const turn = (): Promise<void> => {
    if (free === 0) return new Promise((resolve) => waiting.push(resolve))
    free -= 1
    return Promise.resolve()
  }
  const ended = () => {
    const next = waiting.shift()
    if (next === undefined) free += 1
    else next()
  }
  return jobs.map((job) => {
    const result = turn().then(() => failed ?? job())
    result.then(ended, () => {
      failed ??= result
      ended()
    })
    return result
  })
}

/** What all of them give. After a failure nothing goes on behind the caller's back: those that had begun are waited for. */
export async function allInParallel<T>(jobs: readonly (() => Promise<T>)[], limit: number): Promise<T[]> {
  const results = inParallel(jobs, limit)
  await Promise.allSettled(results)
  return Promise.all(results)
}

/**
 * What `use` makes of the results, while the jobs run as above. When it fails they are ended by their signal and waited for: nothing goes on behind the back of
 * who called.
 */
export async function endingTogether<T, R>(
  jobs: readonly ((signal: AbortSignal) => Promise<T>)[],
  { limit, signal }: { readonly limit: number; readonly signal: AbortSignal },
  use: (results: readonly Promise<T>[]) => Promise<R>,
): Promise<R> {
  const stop = new AbortController()
  const either = AbortSignal.any([signal, stop.signal])
  const begin = async (job: (signal: AbortSignal) => Promise<T>): Promise<T> => {
    either.throwIfAborted()
    return job(either)
  }
  const results = inParallel(
    jobs.map((job) => () => begin(job)),
    limit,
  )
  try {
    return await use(results)
  } catch (error) {
    stop.abort(error)
    await Promise.allSettled(results)
    throw error
  }
}
