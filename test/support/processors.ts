import { execFileSync, spawnSync } from 'node:child_process'
import { existsSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { root } from './cli.ts'

export const isThere = (command: string) => spawnSync('which', [command]).status === 0

const QEMU = ['/usr/bin', join(root, 'build/qemu/usr/bin')].map((at) => join(at, 'qemu-aarch64-static')).find(existsSync)
const ARM64_COMPILER = 'aarch64-linux-gnu-gcc'

/** What code of ours is compiled for, to see that it makes the same bytes everywhere. */
export interface Processor {
  readonly name: string
  readonly compiler: string
  readonly flags: readonly string[]
  /** What runs its programs. */
  readonly runner: readonly string[]
  readonly isHere: boolean
  readonly need: string
}

const OWN = { compiler: 'gcc', runner: [], isHere: isThere('gcc'), need: 'gcc' }

export const PROCESSORS: readonly Processor[] = [
  { ...OWN, name: 'this one, with all that it can', flags: ['-O2', '-march=native'] },
  { ...OWN, name: 'this one, without optimizations', flags: ['-O0'] },
  {
    ...{ name: 'arm64', compiler: ARM64_COMPILER, flags: ['-O1', '-static'], runner: [QEMU ?? ''] },
    isHere: QEMU !== undefined && isThere(ARM64_COMPILER),
    need: `qemu-aarch64-static and ${ARM64_COMPILER} (Debian: qemu-user-static, gcc-aarch64-linux-gnu, libc6-dev-arm64-cross)`,
  },
]

/** The C files of a folder of the checkout. */
export const sourcesIn = (folder: string) =>
  readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.c'))
    .map((name) => join(folder, name))

/** A command of what was compiled into `program`. */
export function compileFor({ compiler, flags, runner }: Processor, program: string, sources: readonly string[]): [string, ...string[]] {
  const files = sources.map((source) => join(root, source))
  execFileSync(compiler, ['-std=gnu11', '-w', '-DZSTD_DISABLE_ASM=1', ...flags, ...files, '-o', program])
  return [...runner, program] as unknown as [string, ...string[]]
}
