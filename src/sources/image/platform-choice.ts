import { TbuildError } from '../../base/errors.ts'
import type { Descriptor } from '../../values/oci.ts'
import { formatPlatform, normalizePlatform, type Platform } from '../../values/platform.ts'

/** `v8.2` → [8, 2]; undefined for anything else. */
function versionOf(variant: string | undefined): [number, number] | undefined {
  const match = /^v([0-9]{1,2})(?:\.([0-9]))?$/.exec(variant ?? '')
  return match ? [Number(match[1]), Number(match[2] ?? 0)] : undefined
}

function down(from: number, to: number): number[] {
  return Array.from({ length: Math.max(0, from - to + 1) }, (_, index) => from - index)
}

function armBelow(variant: string | undefined): string[] {
  const version = versionOf(variant)
  return version === undefined ? [] : down(version[0] - 1, 5).map((major) => `v${major}`)
}

/** arm64/v9.1 runs v9, v8.6 … v8 (v9.0 is v8.5 and more). */
function arm64Below(variant: string | undefined): string[] {
  const [major, minor] = versionOf(variant) ?? [8, 0]
  const spell = (base: number) => (value: number) => (value === 0 ? `v${base}` : `v${base}.${value}`)
  if (major === 9) return [...down(minor - 1, 0).map(spell(9)), ...down(minor + 5, 0).map(spell(8))]
  return down(minor - 1, 0).map(spell(8))
}

/** What a platform can run, best first: containerd's platforms.Only. */
export function runnablePlatforms(wanted: Platform): Platform[] {
  const platform = normalizePlatform(wanted)
  const { variant, ...base } = platform
  const as = (architecture: string) => (below: string) => normalizePlatform({ ...base, architecture, variant: below })
  switch (platform.architecture) {
    case 'amd64': {
      const version = versionOf(variant)?.[0] ?? 1
      return [platform, ...down(version - 1, 1).map((level) => as('amd64')(`v${level}`)), { ...base, architecture: '386' }]
    }
    case 'arm':
      return [platform, ...armBelow(variant).map(as('arm'))]
    case 'arm64':
      return [platform, ...arm64Below(variant).map(as('arm64')), as('arm')('v8'), ...armBelow('v8').map(as('arm'))]
    default:
      return [platform]
  }
}

function platformOf(descriptor: Descriptor): Platform | undefined {
  if (descriptor.platform === undefined) return undefined
  const { os, architecture, variant, 'os.version': osVersion } = descriptor.platform
  return normalizePlatform({ os, architecture, ...(variant ? { variant } : {}), ...(osVersion ? { osVersion } : {}) })
}

/** Linux has no os.version to match; Windows images match when no version was asked for, or the same. */
function matches(wanted: Platform, offered: Platform): boolean {
  return (
    wanted.os === offered.os &&
    wanted.architecture === offered.architecture &&
    (wanted.variant ?? '') === (offered.variant ?? '') &&
    (wanted.osVersion === undefined || wanted.osVersion === offered.osVersion)
  )
}

/** The manifests of an index that the platform can run, best first; those without a platform come last, for their config to decide. */
export function rankByPlatform(manifests: readonly Descriptor[], wanted: Platform): Descriptor[] {
  const named = runnablePlatforms(wanted).flatMap((candidate) =>
    manifests.filter((descriptor) => {
      const offered = platformOf(descriptor)
      return offered !== undefined && matches(candidate, offered)
    }),
  )
  return [...new Set([...named, ...manifests.filter((descriptor) => descriptor.platform === undefined)])]
}

export function canRun(wanted: Platform, offered: Platform): boolean {
  const normal = normalizePlatform(offered)
  return runnablePlatforms(wanted).some((candidate) => matches(candidate, normal))
}

export function platformNotFound(name: string, wanted: Platform, manifests: readonly Descriptor[]): TbuildError {
  const offered = manifests.map(platformOf).filter((platform): platform is Platform => platform !== undefined && platform.os !== 'unknown')
  const list = [...new Set(offered.map(formatPlatform))].sort().join(', ')
  return new TbuildError(
    'PLATFORM_NOT_FOUND',
    `${name}: no match for platform ${formatPlatform(wanted)}; the image has ${list || 'none'}`,
    {
      hint: list === '' ? 'the index holds no image' : 'choose one of these with --platform, or another image',
    },
  )
}
