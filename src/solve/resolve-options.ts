import { TbuildError } from '../base/errors.ts'
import type { BuildOptions, ResolvedOptions } from '../build-options.ts'
import { hostPlatform, type Platform } from '../values/platform.ts'

type Environment = NonNullable<BuildOptions['environment']>

/** The options with which a build, a plan or a question begins. Throws BUILD_ARG. */
export function resolveOptions(options: BuildOptions): ResolvedOptions {
  const environment = options.environment ?? process.env
  const buildArgs = buildArgValues(options.buildArgs ?? {}, environment)
  const epoch = environment.SOURCE_DATE_EPOCH
  // As buildx hands it on.
  if (epoch) buildArgs.SOURCE_DATE_EPOCH ??= epoch
  return { ...options, environment, buildArgs }
}

/** What a build makes: an image for each of them. */
export function platformsOf({ platforms }: BuildOptions): readonly Platform[] {
  return platforms ?? [hostPlatform()]
}

/** A name without a value takes that of the environment, or is not set (A10). */
export function buildArgValues(args: Readonly<Record<string, string | undefined>>, environment: Environment): Record<string, string> {
  const values: Record<string, string> = Object.create(null)
  for (const [name, given] of Object.entries(args)) {
    if (name === '') throw new TbuildError('BUILD_ARG', 'a --build-arg has no name')
    const value = given ?? environment[name]
    if (value !== undefined) values[name] = value
  }
  return values
}
