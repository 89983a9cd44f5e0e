import { userInfo } from 'node:os'
import { TbuildError } from '../base/errors.ts'
import { mayMount } from '../base/privileges.ts'
import type { EnterOptions } from '../sandbox/rootless.ts'
import { storeRoot } from '../this-machine/store-root.ts'
import { ThisMachine } from '../this-machine/this-machine.ts'
import type { Io } from './io.ts'

export interface NamespaceOptions {
  readonly notice: (text: string) => void
  /** Nothing is mounted: root needs no namespace. */
  readonly isolation?: 'chroot' | undefined
}

/**
 * A build that may not mount by itself runs in a user namespace that is entered once: this process starts itself again inside it and hands its exit status
 * on. Undefined for root with CAP_SYS_ADMIN, who builds here. `notice` gets what the user should know of it. Errors: USER_NAMESPACE, ISOLATION, NATIVE_MISSING.
 */
export async function buildInUserNamespace(
  args: readonly string[],
  io: Io,
  { notice, isolation }: NamespaceOptions,
): Promise<number | undefined> {
  if (isolation === undefined ? mayMount() : process.geteuid?.() === 0) return undefined
  if (isolation !== undefined) {
    throw new TbuildError('ISOLATION', `--isolation=${isolation} needs root`, {
      hint: 'run the container as root, which needs no further rights for it',
    })
  }
  const { enterUserNamespace } = await import('../sandbox/rootless.ts')
  // Inside we are root, but the store stays the user's own.
  process.env.TBUILD_ROOT = storeRoot(undefined, new ThisMachine({ environment: io.env }))
  const command = [process.execPath, ...process.execArgv, process.argv[1] as string, ...args]
  return enterUserNamespace(command, { user: currentUser(), isTerminal: io.stdin.isTTY, onNotice: notice })
}

/** A user id that the machine does not know, as containers are run with, is its own name. */
function currentUser(): EnterOptions['user'] {
  const [uid, gid] = [process.getuid?.() ?? 0, process.getgid?.() ?? 0]
  try {
    return { uid, gid, name: userInfo().username }
  } catch {
    return { uid, gid, name: String(uid) }
  }
}
