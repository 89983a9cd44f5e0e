import type { Io } from './io.ts'
import type { StoreHandlers } from './program-store.ts'

/** `args` is the whole command line, for the process that starts itself again. */
export function storeHandlers(io: Io, args: readonly string[]): StoreHandlers {
  return {
    verifyStore: async (flags) => (await import('./commands/verify-store.ts')).verifyStoreCommand(flags, io, args),
    du: async (flags) => (await import('./commands/du.ts')).duCommand(flags, io, args),
    prune: async (flags) => (await import('./commands/prune.ts')).pruneCommand(flags, io, args),
    cache: async (action, directory, flags) => (await import('./commands/cache.ts')).cacheCommand(action, directory, flags, { io, args }),
  }
}
