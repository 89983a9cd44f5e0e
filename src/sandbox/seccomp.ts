import {
  compileTree,
  encodeProgram,
  OFFSET_ARCH,
  OFFSET_NR,
  offsetOfArgument,
  RETURN_ALLOW,
  RETURN_ERRNO,
  RETURN_KILL_PROCESS,
  RETURN_USER_NOTIF,
  type Tree,
} from './bpf.ts'
import {
  ALLOWED_SYSCALLS,
  NAMESPACE_FLAGS,
  OWNER_GETTERS,
  OWNER_SETTERS,
  PERSONALITIES,
  REFUSED_SOCKET_FAMILIES,
} from './seccomp-profile.ts'
import { LAST_KNOWN_SYSCALL, type SyscallTable, syscallNumbers } from './syscalls.ts'

const EPERM = 1
const PR_SET_KEEPCAPS = 8
const ENOSYS = 38

const allow: Tree = { kind: 'return', value: RETURN_ALLOW }
const errno = (number: number): Tree => ({ kind: 'return', value: RETURN_ERRNO | number })
const refuse = errno(EPERM)
const missing = errno(ENOSYS)
/** Success, and nothing is done. */
const done = errno(0)
/** The warden of runner/ answers. The runner does without one, where there can be none, by the number: what sets something is then done, what asks is allowed. */
const askWarden = {
  set: { kind: 'return', value: RETURN_USER_NOTIF },
  get: { kind: 'return', value: RETURN_USER_NOTIF | 1 },
} as const satisfies Record<string, Tree>

export interface SeccompOptions {
  /**
   * There is one id: what gives a file or a process another one, or asks for it, is answered by the warden; in programs of a 32-bit machine it does nothing
   * and succeeds.
   */
  readonly pretendOwners?: boolean
  /** Everything else is allowed. */
  readonly unconfined?: boolean
}

const AUDIT_ARCH = { x86_64: 0xc000003e, i386: 0x40000003, aarch64: 0xc00000b7, arm: 0x40000028 } as const

/** The tables that a machine's programs may use: its own first. */
const MACHINES: Record<string, readonly SyscallTable[]> = { x64: ['x86_64', 'i386'], arm64: ['aarch64', 'arm'] }

/** Tests of the low word of one argument: `listed` for one of `values`, otherwise `other`. */
function switchArgument(index: number, values: readonly number[], listed: Tree, other: Tree): Tree {
  const tests = values.reduceRight<Tree>((no, value) => ({ kind: 'test', test: 'equal', value, yes: listed, no }), other)
  return { kind: 'load', offset: offsetOfArgument(index), next: tests }
}

/** What happens to the calls that are neither allowed nor refused as a whole. */
function conditional(): Map<string, Tree> {
  const anyNamespace: Tree = {
    kind: 'load',
    offset: offsetOfArgument(0),
    mask: NAMESPACE_FLAGS,
    next: { kind: 'test', test: 'equal', value: 0, yes: allow, no: refuse },
  }
  return new Map<string, Tree>([
    ['socket', switchArgument(0, REFUSED_SOCKET_FAMILIES, refuse, allow)],
    // Its family lies in memory, which a filter cannot read: making a socket (call 1) goes through socket(2) only.
    ['socketcall', switchArgument(0, [1], missing, allow)],
    ['personality', switchArgument(0, PERSONALITIES, allow, refuse)],
    ['clone', anyNamespace],
    // Its flags lie in memory too; ENOSYS makes libc use clone(2).
    ['clone3', missing],
  ])
}

/** A binary search over runs of system call numbers that have the same fate. */
function searchTree(runs: readonly { readonly from: number; readonly tree: Tree }[]): Tree {
  if (runs.length === 1) return (runs[0] as { tree: Tree }).tree
  const middle = runs.length >> 1
  return {
    kind: 'test',
    test: 'atLeast',
    value: (runs[middle] as { from: number }).from,
    yes: searchTree(runs.slice(middle)),
    no: searchTree(runs.slice(0, middle)),
  }
}

function tableTree(table: SyscallTable, { pretendOwners = false, unconfined = false }: SeccompOptions): Tree {
  const numbers = syscallNumbers(table)
  const fates = new Map<number, Tree>()
  const set = (name: string, tree: Tree) => {
    const number = numbers.get(name)
    if (number !== undefined) fates.set(number, tree)
  }
  if (!unconfined) {
    for (const name of ALLOWED_SYSCALLS) set(name, allow)
    for (const [name, tree] of conditional()) set(name, tree)
  }
  if (pretendOwners) {
    const native = table === 'x86_64' || table === 'aarch64'
    for (const name of OWNER_SETTERS) set(name, native ? askWarden.set : done)
    if (native) for (const name of OWNER_GETTERS) set(name, askWarden.get)
    if (native) set('prctl', switchArgument(0, [PR_SET_KEEPCAPS], askWarden.get, allow))
  }
  const [others, later] = unconfined ? [allow, allow] : [refuse, missing]
  const runs: { from: number; tree: Tree }[] = []
  for (let number = 0; number <= LAST_KNOWN_SYSCALL; number++) {
    const tree = fates.get(number) ?? others
    if (runs.at(-1)?.tree !== tree) runs.push({ from: number, tree })
  }
  // Also x32's, which set a high bit.
  runs.push({ from: LAST_KNOWN_SYSCALL + 1, tree: later })
  // 32-bit ARM has a few of its own far above.
  for (const number of [...fates.keys()].filter((above) => above > LAST_KNOWN_SYSCALL).sort((a, b) => a - b)) {
    runs.push({ from: number, tree: fates.get(number) as Tree }, { from: number + 1, tree: later })
  }
  return { kind: 'load', offset: OFFSET_NR, next: searchTree(runs) }
}

const programs = new Map<string, Buffer | undefined>()

/**
 * The filter for programs on this machine (`process.arch`), ready for seccomp(2); undefined where the tables are missing.
 * x32 calls (number with bit 30) get ENOSYS; a call of an architecture that the machine should not have kills the process.
 */
export function seccompProgram(machine: string = process.arch, options: SeccompOptions = {}): Buffer | undefined {
  const name = `${machine} ${options.pretendOwners === true} ${options.unconfined === true}`
  if (!programs.has(name)) programs.set(name, build(MACHINES[machine], options))
  return programs.get(name)
}

function build(tables: readonly SyscallTable[] | undefined, options: SeccompOptions): Buffer | undefined {
  if (tables === undefined) return undefined
  const kill: Tree = { kind: 'return', value: RETURN_KILL_PROCESS }
  const byArch = tables.reduceRight<Tree>(
    (no, table) => ({ kind: 'test', test: 'equal', value: AUDIT_ARCH[table], yes: tableTree(table, options), no }),
    kill,
  )
  return encodeProgram(compileTree({ kind: 'load', offset: OFFSET_ARCH, next: byArch }))
}
