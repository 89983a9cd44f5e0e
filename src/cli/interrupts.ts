/** Exit status of a canceled build, as buildx's (E2). */
export const CANCELED_STATUS = 130

const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const

/**
 * The first Ctrl-C (or SIGTERM, SIGHUP) aborts and lets the build clean up; the second while that lasts is ignored, the third ends the process at
 * once: the store survives that, and its next user cleans it.
 */
export function onInterrupt(notice: (text: string) => void): { signal: AbortSignal; release(): void } {
  const controller = new AbortController()
  let count = 0
  const listener = () => {
    count += 1
    if (count === 1) controller.abort()
    else if (count === 2) notice('cleaning up; interrupt once more to leave at once')
    else process.exit(CANCELED_STATUS)
  }
  for (const name of SIGNALS) process.on(name, listener)
  return {
    signal: controller.signal,
    release() {
      for (const name of SIGNALS) process.off(name, listener)
    },
  }
}
