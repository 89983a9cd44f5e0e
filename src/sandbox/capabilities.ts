/** Bits of linux/capability.h that RUN keeps: Docker's default list (R5). */
const BITS = {
  CAP_CHOWN: 0,
  CAP_DAC_OVERRIDE: 1,
  CAP_FOWNER: 3,
  CAP_FSETID: 4,
  CAP_KILL: 5,
  CAP_SETGID: 6,
  CAP_SETUID: 7,
  CAP_SETPCAP: 8,
  CAP_NET_BIND_SERVICE: 10,
  CAP_NET_RAW: 13,
  CAP_SYS_CHROOT: 18,
  CAP_MKNOD: 27,
  CAP_AUDIT_WRITE: 29,
  CAP_SETFCAP: 31,
} as const

/** The mask of /proc/PID/status (CapBnd): a80425fb. */
export const DEFAULT_CAPABILITY_MASK: bigint = Object.values(BITS).reduce((mask, bit) => mask | (1n << BigInt(bit)), 0n)

/** `--security=insecure`: whatever the runner itself has. */
export const ALL_CAPABILITIES: bigint = (1n << 64n) - 1n
