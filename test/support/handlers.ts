import type { Handlers } from '../../src/cli/program.ts'

/** Commands of which none is to run, but for those that are given. */
export function handlers(given: Partial<Handlers> = {}): Handlers {
  const refuse = () => Promise.reject(new Error('no command is run here'))
  const none = { build: refuse, explain: refuse, images: refuse, inspect: refuse, history: refuse }
  return { ...none, verifyStore: refuse, du: refuse, prune: refuse, cache: refuse, ...given }
}
