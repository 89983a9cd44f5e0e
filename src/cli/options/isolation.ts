import { unsupported } from '../usage.ts'

/** Modes of Windows containers, which `docker build` takes anywhere. */
const OF_WINDOWS = ['process', 'hyperv']

/** `--isolation`. Undefined for what changes nothing here. */
export function isolation(text = ''): 'chroot' | undefined {
  if (text === 'chroot') return text
  if (text === '' || text === 'default' || OF_WINDOWS.includes(text)) return undefined
  if (text === 'none') {
    throw unsupported(
      '--isolation=none',
      'a RUN needs the files of its image as its root, and without chroot(2) it would see and overwrite those of this machine: use --isolation=chroot, as root',
    )
  }
  throw unsupported(`--isolation=${text}`, 'modes are default and chroot')
}

/** The warning of a mode that has no effect. */
export function ignoredIsolation(args: readonly string[]): string[] {
  const given = args.some((arg, at) =>
    OF_WINDOWS.some((mode) => arg === `--isolation=${mode}` || (arg === '--isolation' && args[at + 1] === mode)),
  )
  return given ? ['--isolation has no effect: it is for Windows containers'] : []
}
