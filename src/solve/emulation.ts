import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { errorCode, TbuildError } from '../base/errors.ts'
import type { Vertex } from '../graph/op.ts'
import { formatPlatform, hostPlatform, type Platform } from '../values/platform.ts'

/** A handler that the kernel was told of (Documentation/admin-guide/binfmt-misc.rst). */
export interface BinaryHandler {
  readonly name: string
  readonly enabled: boolean
  readonly interpreter: string
  /** With F the interpreter was opened when it was registered, so that it is found from inside an image. */
  readonly flags: string
  readonly offset: number
  readonly magic: Buffer
  readonly mask: Buffer
}

const BINFMT = '/proc/sys/fs/binfmt_misc'

/** Class (1: 32 bit, 2: 64 bit), byte order (1: little, 2: big) and e_machine of <elf.h>. */
const MACHINES: Readonly<Record<string, readonly [number, number, number]>> = {
  '386': [1, 1, 3],
  amd64: [2, 1, 62],
  arm: [1, 1, 40],
  arm64: [2, 1, 183],
  loong64: [2, 1, 258],
  mips: [1, 2, 8],
  mips64: [2, 2, 8],
  mips64le: [2, 1, 8],
  mipsle: [1, 1, 8],
  ppc64: [2, 2, 21],
  ppc64le: [2, 1, 21],
  riscv64: [2, 1, 243],
  s390x: [2, 2, 22],
}

/** What the processor of a host runs besides its own. */
const ALSO_NATIVE: Readonly<Record<string, readonly string[]>> = { amd64: ['386'], arm64: ['arm'] }

/** The RUN steps that this machine cannot run, each with the error that says why (EMULATION_MISSING). */
export function unrunnable(vertices: readonly Vertex[], folder = BINFMT, host = hostPlatform()): Map<Vertex, TbuildError> {
  const errors = new Map<Vertex, TbuildError>()
  let handlers: readonly BinaryHandler[] | undefined
  const bottoms = new Map<Vertex, Vertex>()
  for (const vertex of vertices) {
    let bottom = vertex
    while (bottom.root !== undefined) bottom = bottoms.get(bottom.root) ?? bottom.root
    bottoms.set(vertex, bottom)
    const platform = vertex.op.kind === 'exec' ? platformOfFiles(bottom) : undefined
    if (platform === undefined || isNative(platform, host)) continue
    handlers ??= readHandlers(folder)
    const problem = problemOf(platform, handlers)
    if (problem !== undefined) errors.set(vertex, cannotRun(platform, host, problem, vertex))
  }
  return errors
}

/** The programs that a RUN starts are those of the image at the bottom, whatever platform the result is said to be of. What stands on scratch, or on an image that does not say it, cannot be told. */
function platformOfFiles({ op }: Vertex): Platform | undefined {
  return op.kind === 'image' && op.platform.architecture !== '' ? op.platform : undefined
}

function isNative(platform: Platform, host: Platform): boolean {
  const { os, architecture } = platform
  return os === host.os && (architecture === host.architecture || ALSO_NATIVE[host.architecture]?.includes(architecture) === true)
}

/** Why no handler can run the platform's programs; undefined when one can. */
function problemOf({ os, architecture }: Platform, handlers: readonly BinaryHandler[]): string | undefined {
  const machine = MACHINES[architecture]
  if (os !== 'linux' || machine === undefined) return 'there is no emulator for it'
  const header = elfHeader(machine)
  const found = handlers.filter((handler) => matches(handler, header))
  if (found.length === 0) return 'no emulator for it is registered in binfmt_misc'
  // The kernel takes the one that was registered last and is enabled; which that is cannot be read.
  const enabled = found.filter((handler) => handler.enabled)
  if (enabled.length === 0) return `its emulator ${found[0]?.name} is registered in binfmt_misc, but disabled`
  if (enabled.some(({ flags }) => flags.includes('F'))) return undefined
  return `its emulator ${enabled[0]?.name} is registered in binfmt_misc without the flag F, so that an image would have to hold ${enabled[0]?.interpreter}`
}

function cannotRun(platform: Platform, host: Platform, problem: string, vertex: Vertex): TbuildError {
  const [wanted, here] = [formatPlatform(platform), formatPlatform(host)]
  return new TbuildError('EMULATION_MISSING', `a RUN for ${wanted} cannot run on ${here}: ${problem}`, {
    hint: `install qemu-user-static with binfmt (Debian: apt-get install qemu-user-static binfmt-support), or let the stage run natively: FROM --platform=$BUILDPLATFORM`,
    ...(vertex.span === undefined ? {} : { span: vertex.span }),
  })
}

/** None when binfmt_misc is not mounted. */
export function readHandlers(folder: string): BinaryHandler[] {
  const handlers: BinaryHandler[] = []
  for (const name of listed(folder)) {
    if (name === 'register' || name === 'status') continue
    const handler = parseHandler(name, readFileSync(join(folder, name), 'utf8'))
    if (handler !== undefined) handlers.push(handler)
  }
  // `status` turns all of them off.
  return listed(folder).includes('status') && readFileSync(join(folder, 'status'), 'utf8').trim() === 'disabled'
    ? handlers.map((handler) => ({ ...handler, enabled: false }))
    : handlers
}

function listed(folder: string): string[] {
  try {
    return readdirSync(folder)
  } catch (error) {
    if (['ENOENT', 'EACCES', 'ENOTDIR'].includes(errorCode(error) ?? '')) return []
    throw error
  }
}

/** Undefined for those that go by a file name's extension. */
function parseHandler(name: string, text: string): BinaryHandler | undefined {
  const field = (key: string) => new RegExp(`^${key}:? (.*)$`, 'm').exec(text)?.[1] ?? ''
  const magic = Buffer.from(field('magic'), 'hex')
  if (magic.length === 0) return undefined
  const mask = Buffer.from(field('mask'), 'hex')
  return {
    name,
    enabled: text.startsWith('enabled'),
    interpreter: field('interpreter'),
    flags: field('flags'),
    offset: Number(field('offset')),
    magic,
    mask: mask.length === magic.length ? mask : Buffer.alloc(magic.length, 0xff),
  }
}

/** The first bytes of a program, as far as handlers look. */
function elfHeader([size, order, machine]: readonly [number, number, number]): Buffer {
  const header = Buffer.alloc(256)
  header.set([0x7f, 0x45, 0x4c, 0x46, size, order, 1])
  const write = (value: number, at: number) => (order === 1 ? header.writeUInt16LE(value, at) : header.writeUInt16BE(value, at))
  // ET_EXEC, as qemu's handlers have it with a mask that takes ET_DYN too.
  write(2, 16)
  write(machine, 18)
  return header
}

function matches({ offset, magic, mask }: BinaryHandler, header: Buffer): boolean {
  if (offset + magic.length > header.length) return false
  return magic.every((byte, at) => (((header[offset + at] as number) ^ byte) & (mask[at] as number)) === 0)
}
