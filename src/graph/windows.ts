import { TbuildError } from '../base/errors.ts'
import { cleanPath } from '../go/path.ts'
import { goQuote } from '../go/quote.ts'
import type { Platform } from '../values/platform.ts'

/** What is otherwise for Windows (util/system/path.go). An image for it can be built of files and metadata; nothing runs. */

export const WINDOWS_SHELL = ['cmd', '/S', '/C']

export function isWindows({ os }: Pick<Platform, 'os'>): boolean {
  return os === 'windows'
}

/** A path of the Dockerfile as Linux writes it: on Windows cleaned, and without its drive, which must be C:. `where` begins the message. Throws WINDOWS_PATH. */
export function slashPath(written: string, platform: Platform, where = ''): string {
  if (!isWindows(platform) || written === '') return written
  const path = written.replaceAll('\\', '/')
  const refused = (problem: string) => new TbuildError('WINDOWS_PATH', `${where}removing drive letter: ${problem}`)
  if (/^.:$/.test(path)) throw refused(`No relative path specified in ${goQuote(path)}`)
  if (path.startsWith('//')) throw refused('UNC paths are not supported')
  const colon = path.indexOf(':')
  if (colon >= 0 && path.slice(0, colon).toLowerCase() !== 'c') throw refused('The specified path is not on the system drive (C:)')
  return cleanPath(path.slice(colon + 1))
}

/** The same, with the separator at its end that says directory: not that of `a/.`, and not behind a name of one letter, where BuildKit loses it. */
export function slashDestination(written: string, platform: Platform): string {
  const path = slashPath(written, platform)
  return isWindows(platform) && /[\\/]$/.test(written) && path.length > 1 ? `${path}/` : path
}

/** As an image's config has it. */
export function nativePath(path: string, platform: Platform): string {
  return isWindows(platform) ? path.replaceAll('/', '\\') : path
}

/** Layers of Windows images hold more than a tree of files (`Files`, `Hives`): they can be kept, but not read or built upon. Throws WINDOWS_LAYERS. */
export function refuseWindowsLayers({
  os,
  rootfs,
}: {
  readonly os: string
  readonly rootfs: { readonly diff_ids: readonly unknown[] }
}): void {
  if (os !== 'windows' || rootfs.diff_ids.length === 0) return
  throw new TbuildError('WINDOWS_LAYERS', 'files cannot be added to a Windows image or copied from one', {
    hint: 'build such an image FROM scratch, or change its metadata alone',
  })
}
