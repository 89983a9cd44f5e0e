/** A static program for arm64 Linux that prints a line and ends with status 0: raw system calls, no libc (the ELF-64 specification, one PT_LOAD). */
export function arm64Program(line: string): Buffer {
  const text = Buffer.from(`${line}\n`)
  const BASE = 0x400000
  const HEADERS = 64 + 56
  const movz = (register: number, value: number) => 0xd2800000 + value * 32 + register
  const SVC = 0xd4000001
  const code = 8 * 4
  // adr x1, text: it is the second of eight instructions.
  const adr = 0x10000000 + ((code - 4) / 4) * 32 + 1
  const [write, exit] = [64, 93]
  const instructions = [movz(0, 1), adr, movz(2, text.length), movz(8, write), SVC, movz(0, 0), movz(8, exit), SVC]
  const program = Buffer.alloc(HEADERS + code)
  program.set([0x7f, 0x45, 0x4c, 0x46, 2, 1, 1])
  program.writeUInt16LE(2, 16)
  program.writeUInt16LE(183, 18)
  program.writeUInt32LE(1, 20)
  program.writeBigUInt64LE(BigInt(BASE + HEADERS), 24)
  program.writeBigUInt64LE(64n, 32)
  program.writeUInt16LE(64, 52)
  program.writeUInt16LE(56, 54)
  program.writeUInt16LE(1, 56)
  const size = BigInt(HEADERS + code + text.length)
  program.writeUInt32LE(1, 64)
  program.writeUInt32LE(5, 68)
  program.writeBigUInt64LE(BigInt(BASE), 80)
  program.writeBigUInt64LE(BigInt(BASE), 88)
  program.writeBigUInt64LE(size, 96)
  program.writeBigUInt64LE(size, 104)
  program.writeBigUInt64LE(0x1000n, 112)
  instructions.forEach((instruction, index) => {
    program.writeUInt32LE(instruction >>> 0, HEADERS + index * 4)
  })
  return Buffer.concat([program, text])
}
