import { maskUrls } from '../base/mask-url.ts'
import type { ArgInstruction } from '../dockerfile/instruction.ts'
import type { Platform } from '../values/platform.ts'
import { formatPlatform } from '../values/platform.ts'
import { Env } from './env.ts'

/** A declared ARG with the value that it got, or none (A3). */
export interface BuildArg {
  readonly name: string
  readonly value?: string
  /** Where a stage declares it. */
  readonly at?: ArgInstruction
  /** The value is that of the ARG of this name before the first FROM. */
  readonly inherited?: boolean
}

/** Values from the command line: `--build-arg`. */
export type BuildArgValues = ReadonlyMap<string, string>

const PROXY = ['HTTP_PROXY', 'HTTPS_PROXY', 'FTP_PROXY', 'NO_PROXY', 'ALL_PROXY']

/** Never part of a RUN's environment (A15). */
export const NON_ENV_ARGS: ReadonlySet<string> = new Set(['BUILDKIT_SBOM_SCAN_CONTEXT', 'BUILDKIT_SBOM_SCAN_STAGE'])

/** The predefined global ARGs (Docker's reference of the Dockerfile, "Automatic platform ARGs"), which `--build-arg` may override (A11). */
export function platformArgs(target: Platform, build: Platform, targetStage: string, overrides: BuildArgValues): Env {
  const values: [string, string][] = [
    ['BUILDPLATFORM', formatPlatform(build)],
    ['BUILDOS', build.os],
    ['BUILDOSVERSION', build.osVersion ?? ''],
    ['BUILDARCH', build.architecture],
    ['BUILDVARIANT', build.variant ?? ''],
    ['TARGETPLATFORM', formatPlatform(target)],
    ['TARGETOS', target.os],
    ['TARGETOSVERSION', target.osVersion ?? ''],
    ['TARGETARCH', target.architecture],
    ['TARGETVARIANT', target.variant ?? ''],
    ['TARGETSTAGE', targetStage],
  ]
  return values.reduce((env, [name, value]) => env.with(name, overrides.get(name) ?? value), Env.empty)
}

/** Proxy variables of the command line, in whatever case they came: every RUN has them in both, without an ARG, outside key and history (A8). */
export function proxyEnv(values: BuildArgValues): string[] {
  const given = new Map([...values].map(([name, value]) => [name.toUpperCase(), value]))
  return PROXY.flatMap((name) => {
    const value = given.get(name)
    return value ? [`${name}=${value}`, `${name.toLowerCase()}=${value}`] : []
  })
}

/** The value of an ARG as history has it: the login of a URL is not for everybody who gets the image. */
export function shownArg(name: string, value: string): string {
  return `${name}=${maskUrls(value)}`
}

/** `RUN |2 foo=bar bar=123 …`: the value shown is the environment's; a name that is declared twice stays at its first place (I2). */
export function argsForHistory(args: readonly BuildArg[], env: Env): string[] {
  const shown = new Map<string, string>()
  for (const arg of args) shown.set(arg.name, env.get(arg.name) ?? arg.value ?? '')
  if (shown.size === 0) return []
  return [`|${shown.size}`, ...[...shown].map(([name, value]) => shownArg(name, value))]
}
