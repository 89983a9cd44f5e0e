import { join } from 'node:path'
import { homeFolder } from '../base/environment.ts'
import type { ThisMachine } from './this-machine.ts'

/** `--root`, else TBUILD_ROOT, /var/lib/tbuild for root, $XDG_DATA_HOME/tbuild, ~/.local/share/tbuild; absolute. Errors: WORKING_DIRECTORY. */
export function storeRoot(
  given: string | undefined,
  { environment, path }: Pick<ThisMachine, 'environment' | 'path'>,
  uid = process.getuid?.() ?? 0,
): string {
  const named = given || environment.TBUILD_ROOT
  if (named) return path(named)
  if (uid === 0) return '/var/lib/tbuild'
  // The XDG base directory specification: a relative value is invalid and is ignored.
  if (environment.XDG_DATA_HOME?.startsWith('/')) return join(environment.XDG_DATA_HOME, 'tbuild')
  return join(homeFolder(environment), '.local', 'share', 'tbuild')
}
