import { S_IFDIR, S_IFMT, S_IFREG } from '../base/sys-constants.ts'

/** The mode of a file as git keeps it, executable or not, and then checks it out with the usual umask; directories are 0755. With S_IF bits. */
export function gitMode(mode: number): number {
  const type = mode & S_IFMT
  if (type === S_IFDIR) return type | 0o755
  if (type === S_IFREG) return type | ((mode & 0o100) === 0 ? 0o644 : 0o755)
  return mode
}
