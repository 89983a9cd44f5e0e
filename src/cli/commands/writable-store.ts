import type { Store } from '../../store/store.ts'
import { storeRoot } from '../../this-machine/store-root.ts'
import { ThisMachine } from '../../this-machine/this-machine.ts'
import type { Io } from '../io.ts'
import { buildInUserNamespace } from '../rootless.ts'

export interface StoreFlags {
  root?: string
  format?: string
}

/**
 * Opens the store for a command that changes or reads files of layers: unprivileged it runs inside the user namespace that builds run in, where files of all
 * the users of an image are its own.
 */
export async function withWritableStore(
  flags: StoreFlags,
  { io, args }: { io: Io; args: readonly string[] },
  use: (store: Store) => Promise<number>,
): Promise<number> {
  const notice = (text: string) => io.stderr.write(`${text}\n`)
  // Nothing is mounted here: root is whom all files of its store belong to.
  const inside = await buildInUserNamespace(args, io, { notice, isolation: process.geteuid?.() === 0 ? 'chroot' : undefined })
  if (inside !== undefined) return inside
  const { openStore } = await import('../../store/store.ts')
  const store = await openStore(storeRoot(flags.root, new ThisMachine({ environment: io.env })), { onNotice: notice })
  try {
    return await use(store)
  } finally {
    await store.close()
  }
}
