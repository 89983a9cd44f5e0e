import { walkFolder } from './folder-walk.ts'

/** Milliseconds between two looks, at least; a look that takes long is rarer. */
const PAUSE = 500
const RESTS = 10

/** What folders may hold: bytes of files, and files and directories, themselves with them. */
export interface SizeLimits {
  readonly bytes: number
  readonly entries: number
}

/**
 * Looks at what grows in `folders` while `work` goes on, and once more at its end. `over` makes the error for what there is too much of, which ends the
 * work by its signal. A program that writes by itself (git) can be capped in no other way: what it unpacks is many times what it fetches.
 */
export async function withinSize<T>(
  folders: readonly string[],
  limits: SizeLimits,
  signal: AbortSignal | undefined,
  over: (what: keyof SizeLimits) => Error,
  work: (signal: AbortSignal, check: () => Promise<void>) => Promise<T>,
): Promise<T> {
  const ended = new AbortController()
  const both = signal === undefined ? ended.signal : AbortSignal.any([signal, ended.signal])
  const check = async () => {
    const what = await excess(folders, limits, both)
    if (what !== undefined) ended.abort(over(what))
    // Also when another look found it.
    ended.signal.throwIfAborted()
  }
  let timer: NodeJS.Timeout | undefined
  const watch = () => {
    const begun = Date.now()
    check()
      .then(() => {
        if (!both.aborted) timer = setTimeout(watch, Math.max(PAUSE, (Date.now() - begun) * RESTS)).unref()
      })
      // What cannot be looked at may grow unseen: that ends the work, too. The work says it, whose signal it is.
      .catch((error: unknown) => ended.abort(error))
  }
  timer = setTimeout(watch, PAUSE).unref()
  const stop = () => clearTimeout(timer)
  both.addEventListener('abort', stop, { once: true })
  try {
    const result = await work(both, check)
    await check()
    return result
  } finally {
    // After this no look begins, and one under way ends by itself.
    ended.abort()
  }
}

/** What there is too much of; undefined when all is within its limit. git makes and removes files while we look. */
async function excess(folders: readonly string[], limits: SizeLimits, signal: AbortSignal): Promise<keyof SizeLimits | undefined> {
  let bytes = 0
  let entries = 0
  for (const folder of folders) {
    for await (const { type, stat } of walkFolder(folder)) {
      if (signal.aborted) return undefined
      entries += 1
      if (type !== 'directory') bytes += stat.size
      if (bytes > limits.bytes) return 'bytes'
      if (entries > limits.entries) return 'entries'
    }
  }
  return undefined
}
