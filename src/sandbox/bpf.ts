/** Classic BPF over struct seccomp_data, as seccomp(2) takes it. Instructions are `struct sock_filter`: u16 code, u8 jt, u8 jf, u32 k, little-endian. */
export interface Instruction {
  readonly code: number
  readonly jt: number
  readonly jf: number
  readonly k: number
}

const LOAD_WORD = 0x20
const JUMP_ALWAYS = 0x05
const JUMP_EQUAL = 0x15
const JUMP_GREATER_EQUAL = 0x35
const AND = 0x54
const RETURN = 0x06

/** Offsets in struct seccomp_data. */
export const OFFSET_NR = 0
export const OFFSET_ARCH = 4
/** The low 32 bits of argument `index`. */
export const offsetOfArgument = (index: number): number => 16 + index * 8

export const RETURN_ALLOW = 0x7fff0000
export const RETURN_USER_NOTIF = 0x7fc00000
export const RETURN_ERRNO = 0x00050000
export const RETURN_KILL_PROCESS = 0x80000000

/**
 * A decision tree, compiled to straight jumps. `equal` and `atLeast` compare the loaded word; both branches are trees, so there are no loops and the
 * depth is what a system call costs.
 */
export type Tree =
  | { readonly kind: 'return'; readonly value: number }
  | { readonly kind: 'load'; readonly offset: number; readonly mask?: number; readonly next: Tree }
  | { readonly kind: 'test'; readonly test: 'equal' | 'atLeast'; readonly value: number; readonly yes: Tree; readonly no: Tree }

export function compileTree(tree: Tree): Instruction[] {
  switch (tree.kind) {
    case 'return':
      return [{ code: RETURN, jt: 0, jf: 0, k: tree.value }]
    case 'load': {
      const load = [{ code: LOAD_WORD, jt: 0, jf: 0, k: tree.offset }]
      if (tree.mask !== undefined) load.push({ code: AND, jt: 0, jf: 0, k: tree.mask })
      return [...load, ...compileTree(tree.next)]
    }
    case 'test': {
      const yes = compileTree(tree.yes)
      const no = compileTree(tree.no)
      const code = tree.test === 'equal' ? JUMP_EQUAL : JUMP_GREATER_EQUAL
      // A conditional jump reaches 255 instructions; farther goes by an unconditional one.
      if (yes.length <= 255) return [{ code, jt: 0, jf: yes.length, k: tree.value }, ...yes, ...no]
      return [{ code, jt: 1, jf: 0, k: tree.value }, { code: JUMP_ALWAYS, jt: 0, jf: 0, k: yes.length }, ...yes, ...no]
    }
  }
}

export function encodeProgram(program: readonly Instruction[]): Buffer {
  const bytes = Buffer.alloc(program.length * 8)
  for (const [index, { code, jt, jf, k }] of program.entries()) {
    bytes.writeUInt16LE(code, index * 8)
    bytes.writeUInt8(jt, index * 8 + 2)
    bytes.writeUInt8(jf, index * 8 + 3)
    bytes.writeUInt32LE(k >>> 0, index * 8 + 4)
  }
  return bytes
}
