import { TbuildError } from '../base/errors.ts'
import type { OnEvent } from '../base/events.ts'
import { hostPlatform, type Platform } from '../base/platform.ts'
import type { BuildOptions } from '../build-options.ts'
import { parseTrigger } from '../dockerfile/parse.ts'
import type { LowerOptions } from '../graph/lower-types.ts'
import type { Session } from './session.ts'

/** What lowering needs, from the caller's options and the session. */
export function lowerOptions(options: BuildOptions, platform: Platform, session: Session, onEvent: OnEvent): LowerOptions {
  return {
    targetPlatform: platform,
    buildPlatform: hostPlatform(),
    target: options.target,
    buildArgs: buildArgValues(options),
    labels: options.labels ?? {},
    noCache: options.noCache ?? false,
    noCacheFilter: options.noCacheFilter ?? [],
    network: options.network ?? 'default',
    extraHosts: options.extraHosts ?? [],
    ulimits: options.ulimits ?? [],
    shmSize: options.shmSize,
    cgroupParent: options.cgroupParent,
    identity: session.inputs.identity,
    resolveImage: session.images.resolve,
    namedContext: (name) => session.contexts.find(name),
    parseTrigger,
    warn: (rule, message, place) => onEvent({ type: 'warning', rule, message, ...(place === undefined ? {} : { span: place.span }) }),
  }
}

/** `--build-arg NAME` without a value takes the caller's variable, or is not set (A10). */
function buildArgValues(options: BuildOptions): Map<string, string> {
  const environment = options.environment ?? process.env
  const values = new Map<string, string>()
  for (const [name, value] of Object.entries(options.buildArgs ?? {})) {
    if (name === '') throw new TbuildError('BUILD_ARG', 'a --build-arg has no name')
    const given = value ?? environment[name]
    if (given !== undefined) values.set(name, given)
  }
  return values
}
