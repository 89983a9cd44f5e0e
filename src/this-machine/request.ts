import type { Environment } from '../base/environment.ts'
import { TbuildError } from '../base/errors.ts'
import type { BuildHooks, BuildOptions, ResolvedOptions } from '../build-options.ts'
import { ThisMachine } from './this-machine.ts'

/** What is to be built, and who asks for it: this machine. Errors: BUILD_ARG, WORKING_DIRECTORY. */
export function fromThisMachine(
  given: BuildOptions,
  hooks?: BuildHooks,
): { readonly options: ResolvedOptions; readonly caller: ThisMachine } {
  const caller = new ThisMachine(given, hooks)
  const { root, environment, workingDirectory, stdin, secrets = [], ssh = [], ...options } = given
  const variables = environment ?? process.env
  const buildArgs = buildArgValues(options.buildArgs ?? {}, variables)
  const epoch = variables.SOURCE_DATE_EPOCH
  // As buildx hands it on.
  if (epoch) buildArgs.SOURCE_DATE_EPOCH ??= epoch
  return { options: { ...options, buildArgs, secrets: secrets.map(({ id }) => id), agents: ssh.map(({ id }) => id) }, caller }
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
