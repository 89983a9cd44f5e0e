import { TbuildError } from './errors.ts'

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

/** `os[(osversion)]/arch[/variant]`, or an os or architecture alone, the rest being the host's. */
export function parsePlatform(text: string, host: Platform = hostPlatform()): Platform {
  const parts = text.split('/')
  const invalid = () =>
    new TbuildError('PLATFORM_INVALID', `failed to parse platform ${text}`, {
      hint: 'write os/architecture[/variant], for example linux/arm64',
    })
  if (parts.length > 3 || parts.some((part) => !/^[A-Za-z0-9_.()-]+$/.test(part))) throw invalid()
  const [first = '', second, variant] = parts
  const match = /^([A-Za-z0-9_.-]+)(?:\(([A-Za-z0-9_.-]*)\))?$/.exec(first)
  if (!match) throw invalid()
  const os = match[1] as string
  const version = match[2] === undefined || match[2] === '' ? {} : { osVersion: match[2] }
  if (second === undefined) {
    if (/^(linux|windows|darwin|macos|freebsd|solaris)$/i.test(os)) {
      return normalizePlatform({ ...host, os, ...version })
    }
    if (ARCHITECTURES[os.toLowerCase()] || /^(amd64|arm64|arm|386|ppc64le|s390x|riscv64|mips64le|mips64|loong64)$/i.test(os)) {
      return normalizePlatform({ os: host.os, architecture: os })
    }
    throw invalid()
  }
  return normalizePlatform({ os, architecture: second, ...(variant === undefined ? {} : { variant }), ...version })
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
