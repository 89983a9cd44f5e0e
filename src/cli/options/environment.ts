import { parseGoBool } from '../../go/bool.ts'
import { unsupported } from '../usage.ts'

/** Variables that change what buildx builds and are not carried out: a policy that is not looked at protects nobody. */
export function refuseEnvironment(environment: NodeJS.ProcessEnv): void {
  if (environment.EXPERIMENTAL_BUILDKIT_SOURCE_POLICY) {
    throw unsupported('the variable EXPERIMENTAL_BUILDKIT_SOURCE_POLICY', 'unset it, and pin sources by digest in the Dockerfile')
  }
}

/** Warnings of variables that ask for more than is done, but for nothing that breaks a build. */
export function ignoredEnvironment(environment: NodeJS.ProcessEnv): string[] {
  const labels = environment.BUILDX_GIT_LABELS ?? ''
  return labels !== '' && parseGoBool(labels) !== false
    ? ['BUILDX_GIT_LABELS has no effect: no labels of the repository are added; use --label']
    : []
}
