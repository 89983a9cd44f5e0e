/** Exit status of a canceled build, as buildx's (E2). */
export const CANCELED_STATUS = 130

/** For what is still to be printed when the user has ended the build. */
const LEAVING_MILLISECONDS = 500

const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const

/**
 * The first Ctrl-C (or SIGTERM, SIGHUP) aborts and lets the build clean up; the second while that lasts is ignored, the third ends the process at
 * once: the store survives that, and its next user cleans it. That nobody takes the output any more (`lost`) aborts too.
 */
export function onInterrupt(notice: (text: string) => void, lost: AbortSignal): { signal: AbortSignal; release(): void } {
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
    signal: AbortSignal.any([controller.signal, lost]),
    release() {
      for (const name of SIGNALS) process.off(name, listener)
    },
  }
}

/** Who has ended the build does not wait for a reader that has stopped. */
export function exitSoon(status: number): void {
  setTimeout(() => process.exit(status), LEAVING_MILLISECONDS).unref()
}
