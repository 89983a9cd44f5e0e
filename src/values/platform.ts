import { TbuildError } from '../base/errors.ts'
import { goQuote } from '../go/quote.ts'

/** OCI image index spec, `platform` of a descriptor. */
export interface Platform {
  readonly os: string
  readonly architecture: string
  readonly variant?: string
  readonly osVersion?: string
}

const ARCHITECTURES: Record<string, { architecture: string; variant?: string }> = {
  x86_64: { architecture: 'amd64' },
  'x86-64': { architecture: 'amd64' },
  x64: { architecture: 'amd64' },
  aarch64: { architecture: 'arm64' },
  i386: { architecture: '386' },
  ia32: { architecture: '386' },
  armhf: { architecture: 'arm', variant: 'v7' },
  armel: { architecture: 'arm', variant: 'v6' },
}

/** Folds the aliases that containerd's platforms.Normalize knows: `x86_64` → amd64, arm64/v8 → arm64, arm → arm/v7. */
export function normalizePlatform(platform: Platform): Platform {
  const os = platform.os.toLowerCase() === 'macos' ? 'darwin' : platform.os.toLowerCase()
  const known = ARCHITECTURES[platform.architecture.toLowerCase()]
  const architecture = known?.architecture ?? platform.architecture.toLowerCase()
  let variant: string | undefined = (platform.variant?.toLowerCase() || known?.variant) ?? undefined
  if (architecture === 'arm64' && (variant === '8' || variant === 'v8')) variant = undefined
  if (architecture === 'amd64' && variant === 'v1') variant = undefined
  if (architecture === 'arm') {
    if (variant === undefined) variant = 'v7'
    else if (/^[5-8]$/.test(variant)) variant = `v${variant}`
  }
  return {
    os,
    architecture,
    ...(variant === undefined ? {} : { variant }),
    ...(platform.osVersion === undefined ? {} : { osVersion: platform.osVersion }),
  }
}

const OS_SYNTAX = '^([A-Za-z0-9_-]+)(?:\\(([A-Za-z0-9_.%-]*)((?:\\+[A-Za-z0-9_.%-]+)*)\\))?$'
const PART_SYNTAX = '^[A-Za-z0-9_.-]+$'
/** Those that may stand alone; beside another part any name may (containerd's platforms, database.go). */
const SYSTEMS = /^(aix|android|darwin|dragonfly|freebsd|hurd|illumos|ios|js|linux|nacl|netbsd|openbsd|plan9|solaris|windows|zos)$/
const KNOWN_ARCHITECTURES =
  /^(386|amd64|amd64p32|arm|armbe|arm64|arm64be|ppc64|ppc64le|loong64|mips|mipsle|mips64|mips64le|mips64p32|mips64p32le|ppc|riscv|riscv64|s390|s390x|sparc|sparc64|wasm)$/

/** `os[(osversion)]/arch[/variant]`, or an os or architecture alone, the rest being the host's. Throws PLATFORM_INVALID with containerd's text. */
export function parsePlatform(text: string, host: Platform = hostPlatform()): Platform {
  const [first = '', second, variant, ...more] = text.split('/')
  if (text.includes('*')) throw invalid(`${goQuote(text)}: wildcards not yet supported`)
  const match = new RegExp(OS_SYNTAX).exec(first)
  if (match === null) throw invalidPart(first, text, 'OS ', 'OSAndVersion', OS_SYNTAX)
  if (match[3]) throw invalid(`${goQuote(text)}: features of an operating system are not supported`)
  for (const part of [second, variant]) {
    if (part !== undefined && !new RegExp(PART_SYNTAX).test(part)) throw invalidPart(part, text, '', 'platform', PART_SYNTAX)
  }
  if (more.length > 0) throw invalid(`${goQuote(text)}: cannot parse platform specifier`)
  const version = match[2] ? { osVersion: match[2] } : {}
  const os = match[1] as string
  if (second !== undefined)
    return normalizePlatform({ os, architecture: second, ...(variant === undefined ? {} : { variant }), ...version })
  const system = normalizePlatform({ ...host, os, ...version })
  if (SYSTEMS.test(system.os)) return system
  const platform = normalizePlatform({ os: host.os, architecture: first })
  if (KNOWN_ARCHITECTURES.test(platform.architecture)) return platform
  throw invalid(`${goQuote(text)}: unknown operating system or architecture`)
}

function invalidPart(part: string, text: string, kind: string, name: string, syntax: string): TbuildError {
  const where = `${goQuote(part)} is an invalid ${kind}component of ${goQuote(text)}`
  return invalid(`${where}: ${name} specifier component must match ${goQuote(syntax)}`)
}

function invalid(problem: string): TbuildError {
  return new TbuildError('PLATFORM_INVALID', `${problem}: invalid argument`, {
    hint: 'write os/architecture[/variant], for example linux/arm64',
  })
}

/** `linux/arm/v7`; BuildKit writes the os version in parentheses after the os. */
export function formatPlatform(platform: Platform): string {
  const os = platform.osVersion ? `${platform.os}(${platform.osVersion})` : platform.os
  return [os, platform.architecture, platform.variant].filter(Boolean).join('/')
}

export function samePlatform(a: Platform, b: Platform): boolean {
  return formatPlatform(normalizePlatform(a)) === formatPlatform(normalizePlatform(b))
}

export function hostPlatform(): Platform {
  return normalizePlatform({ os: 'linux', architecture: process.arch })
}
