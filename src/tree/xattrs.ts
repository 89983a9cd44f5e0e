import { sys } from '../base/sys.ts'
import type { Name } from '../base/sys-values.ts'
import { isOwnerXattr } from '../store/layer-owners.ts'

const NONE: ReadonlyMap<string, Buffer> = new Map()

/** Without those that are overlayfs's or the store's own. The names are the kernel's, ASCII by convention, kept as latin1. */
export function readXattrs(fd: number, name: Name): Map<string, Buffer> {
  const names = sys().listxattrat(fd, name)
  if (names.length === 0) return NONE as Map<string, Buffer>
  const found = new Map<string, Buffer>()
  for (const raw of names) {
    const value = isStoreXattr(raw.toString('latin1')) ? null : sys().getxattrat(fd, name, raw)
    if (value !== null) found.set(raw.toString('latin1'), value)
  }
  return found
}

/** Attributes that overlayfs or the store gives a meaning to: never taken from an archive or a source, or a layer could hide what is below it. */
export function isStoreXattr(name: string): boolean {
  return name.startsWith('trusted.overlay.') || name.startsWith('user.overlay.') || isOwnerXattr(name)
}
