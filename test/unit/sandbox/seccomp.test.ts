import { describe, expect, test } from '@jest/globals'
import { type SeccompOptions, seccompProgram } from '../../../src/sandbox/seccomp.ts'
import { syscallNumbers } from '../../../src/sandbox/syscalls.ts'

const X86_64 = 0xc000003e
const I386 = 0x40000003
const AARCH64 = 0xc00000b7
const ALLOW = 'allow'
const EPERM = 'errno 1'
const ENOSYS = 'errno 38'

/** Runs the program as the kernel would, on struct seccomp_data. */
function decide(machine: string, arch: number, nr: number, args: number[] = [], options: SeccompOptions = {}): string {
  const program = seccompProgram(machine, options) as Buffer
  const data = Buffer.alloc(64)
  data.writeUInt32LE(nr >>> 0, 0)
  data.writeUInt32LE(arch >>> 0, 4)
  for (const [i, arg] of args.entries()) data.writeBigUInt64LE(BigInt(arg), 16 + i * 8)
  let accumulator = 0
  for (let at = 0; ; at++) {
    const code = program.readUInt16LE(at * 8)
    const [jt, jf, k] = [program.readUInt8(at * 8 + 2), program.readUInt8(at * 8 + 3), program.readUInt32LE(at * 8 + 4)] as const
    if (code === 0x20) accumulator = data.readUInt32LE(k)
    else if (code === 0x54) accumulator = (accumulator & k) >>> 0
    else if (code === 0x05) at += k
    else if (code === 0x15) at += accumulator === k ? jt : jf
    else if (code === 0x35) at += accumulator >= k ? jt : jf
    else if (code === 0x06 && k >>> 16 === 0x7fc0) return `warden ${k & 0xffff}`
    else if (code === 0x06) return k === 0x7fff0000 ? ALLOW : k >= 0x80000000 ? 'kill' : `errno ${k & 0xffff}`
    else throw new Error(`instruction ${at} has code ${code}`)
  }
}

const x64 = (name: string, args: number[] = []) => decide('x64', X86_64, syscallNumbers('x86_64').get(name) as number, args)
const i386 = (name: string, args: number[] = []) => decide('x64', I386, syscallNumbers('i386').get(name) as number, args)
const arm64 = (name: string, args: number[] = []) => decide('arm64', AARCH64, syscallNumbers('aarch64').get(name) as number, args)

const arm = (number: number, args: number[] = []) => decide('arm64', 0x40000028, number, args)

describe('the filter of a run that has one id', () => {
  const tables = [
    ['x64', X86_64, 'x86_64'],
    ['x64', I386, 'i386'],
    ['arm64', AARCH64, 'aarch64'],
    ['arm64', 0x40000028, 'arm'],
  ] as const
  const number = (table: (typeof tables)[number][2], name: string) => syscallNumbers(table).get(name) as number

  test.each(tables)(
    'what changes owners or asks for ids is the warden’s, or succeeds in 32 bits, all else is as ever: %s %i',
    (machine, arch, table) => {
      const native = table === 'x86_64' || table === 'aarch64'
      const of = (name: string, options: SeccompOptions) => decide(machine, arch, number(table, name), [0], options)
      for (const name of ['fchown', 'fchownat', 'setuid', 'setresgid', 'setgroups', 'setfsuid']) {
        expect([name, of(name, { pretendOwners: true }), of(name, {})]).toEqual([name, native ? 'warden 0' : 'errno 0', ALLOW])
      }
      for (const name of ['getuid', 'getresgid', 'getgroups']) expect(of(name, { pretendOwners: true })).toBe(native ? 'warden 1' : ALLOW)
      const prctl = (option: number) => decide(machine, arch, number(table, 'prctl'), [option], { pretendOwners: true })
      expect([prctl(8), prctl(15)]).toEqual([native ? 'warden 1' : ALLOW, ALLOW])
      for (const name of ['read', 'clone3', 'socket', 'fchmod']) expect(of(name, { pretendOwners: true })).toBe(of(name, {}))
      expect([of('clone3', { pretendOwners: true, unconfined: true }), of('setuid', { pretendOwners: true, unconfined: true })]).toEqual([
        ALLOW,
        native ? 'warden 0' : 'errno 0',
      ])
    },
  )
})

describe('the seccomp filter', () => {
  test.each(['read', 'execve', 'mknodat', 'ptrace', 'chroot', 'setuid', 'fchmodat2', 'copy_file_range', 'statx'])(
    '%s is allowed',
    (name) => {
      expect([x64(name), arm64(name)]).toEqual([ALLOW, ALLOW])
    },
  )

  // Numbers written out: these calls are not in our tables.
  test.each([
    ['mount', 165],
    ['umount2', 166],
    ['pivot_root', 155],
    ['unshare', 272],
    ['setns', 308],
    ['bpf', 321],
    ['keyctl', 250],
    ['add_key', 248],
    ['userfaultfd', 323],
    ['perf_event_open', 298],
    ['open_by_handle_at', 304],
    ['init_module', 175],
    ['kexec_load', 246],
    ['io_uring_setup', 425],
    ['fsopen', 430],
    ['fsconfig', 431],
    ['open_tree', 428],
    ['move_mount', 429],
    ['mount_setattr', 442],
  ])('CVE-2023-0386, CVE-2022-0492 %s is refused', (_name, number) => {
    expect(decide('x64', X86_64, number)).toBe(EPERM)
  })

  test.each([0x00020000, 0x02000000, 0x04000000, 0x08000000, 0x10000000, 0x20000000, 0x40000000])(
    'clone with namespace flag %i is refused',
    (flag) => {
      expect([x64('clone', [flag | 17]), i386('clone', [flag]), arm64('clone', [flag | 0x100])]).toEqual([EPERM, EPERM, EPERM])
    },
  )

  test('clone for threads and vfork is allowed, clone3 falls back', () => {
    expect([x64('clone', [0x3d0f00]), x64('clone', [0x4111]), x64('clone3'), i386('clone3'), arm64('clone3')]).toEqual([
      ALLOW,
      ALLOW,
      ENOSYS,
      ENOSYS,
      ENOSYS,
    ])
  })

  test('CVE-2026-31431 AF_ALG and AF_VSOCK in every way to make a socket', () => {
    for (const family of [38, 40])
      expect([x64('socket', [family, 5]), i386('socket', [family]), arm64('socket', [family])]).toEqual([EPERM, EPERM, EPERM])
    expect(i386('socketcall', [1])).toBe(ENOSYS)
    expect(i386('socketcall', [3])).toBe(ALLOW)
    for (const family of [1, 2, 10, 16]) expect([x64('socket', [family]), i386('socket', [family])]).toEqual([ALLOW, ALLOW])
  })

  test('32-bit ARM programs on an arm64 machine: the same policy with their numbers', () => {
    for (const number of [3, 11, 281, 322, 397, 0xf0002, 0xf0005]) expect(arm(number)).toBe(ALLOW)
    for (const number of [21, 52, 337, 375, 386, 388, 311, 425]) expect(arm(number)).toBe(EPERM)
    expect([arm(281, [38]), arm(120, [0x10000000]), arm(435), arm(0xf0003), arm(500)]).toEqual([EPERM, EPERM, ENOSYS, ENOSYS, ENOSYS])
  })

  test('personality: only those of moby', () => {
    for (const value of [0, 8, 0x20000, 0x20008, 0xffffffff]) expect(x64('personality', [value])).toBe(ALLOW)
    for (const value of [1, 0x40000, 0x8000000]) expect(x64('personality', [value])).toBe(EPERM)
  })

  test('x32, unknown numbers and other machines', () => {
    expect(decide('x64', X86_64, 0x40000000 + 1)).toBe(ENOSYS)
    expect(decide('x64', X86_64, 0x40000000 + 165)).toBe(ENOSYS)
    expect(decide('x64', X86_64, 463)).toBe(ENOSYS)
    expect(decide('x64', X86_64, 0xffffffff)).toBe(ENOSYS)
    expect(decide('x64', AARCH64, 63)).toBe('kill')
    expect(decide('arm64', X86_64, 0)).toBe('kill')
    expect(seccompProgram('mips')).toBeUndefined()
  })

  test('it is small: the kernel takes 4096 instructions', () => {
    for (const machine of ['x64', 'arm64']) expect((seccompProgram(machine) as Buffer).length / 8).toBeLessThan(1500)
  })
})
