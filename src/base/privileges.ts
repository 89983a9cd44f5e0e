import { readFileSync, readlinkSync } from 'node:fs'

const CAP_SYS_ADMIN = 21n

/** `CapEff` of /proc/self/status; undefined where there is no /proc. */
function effectiveCapabilities(): bigint | undefined {
  try {
    const digits = /^CapEff:\s*([0-9a-f]+)$/m.exec(readFileSync('/proc/self/status', 'latin1'))?.[1]
    return digits === undefined ? undefined : BigInt(`0x${digits}`)
  } catch {
    return undefined
  }
}

/**
 * Whether this process may make namespaces and mounts: root with CAP_SYS_ADMIN. Root of an ordinary container has no such capability. Where the kernel
 * does not tell, root is taken to have it.
 */
export function mayMount(): boolean {
  if (process.geteuid?.() !== 0) return false
  const capabilities = effectiveCapabilities()
  return capabilities === undefined || (capabilities & (1n << CAP_SYS_ADMIN)) !== 0n
}

/** Linux, nsfs.h: USER_NS_INIT_INO. */
const INITIAL = 'user:[4026531837]'

/** Not in the machine's own user namespace, however many ids are mapped. */
export function inUserNamespace(): boolean {
  try {
    return readlinkSync('/proc/self/ns/user') !== INITIAL
  } catch {
    return false
  }
}

/** The id that root of this user namespace has in the one around it; 0 where the kernel does not tell. */
export function outerRoot(): number {
  try {
    return Number(/^\s*0\s+(\d+)\s/.exec(readFileSync('/proc/self/uid_map', 'latin1'))?.[1] ?? 0)
  } catch {
    return 0
  }
}
