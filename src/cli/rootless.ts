import type { Io } from './io.ts'

/**
 * An unprivileged build runs in a user namespace that is entered once: this process starts itself again inside it and hands its exit status on.
 * Undefined for root, who builds here. `notice` gets what the user should know of it.
 */
export async function buildInUserNamespace(args: readonly string[], io: Io, notice: (text: string) => void): Promise<number | undefined> {
  const uid = process.getuid?.() ?? 0
  if (uid === 0) return undefined
  const [{ enterUserNamespace, rootlessNotice }, { defaultRoot }] = await Promise.all([
    import('../sandbox/rootless.ts'),
    import('../store/layout.ts'),
  ])
  const text = rootlessNotice()
  if (text !== undefined) notice(text)
  // Inside we are root, but the store stays the user's own.
  process.env.TBUILD_ROOT = defaultRoot(io.env, uid)
  return enterUserNamespace([process.execPath, ...process.execArgv, process.argv[1] as string, ...args])
}
