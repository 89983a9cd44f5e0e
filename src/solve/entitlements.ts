import { TbuildError } from '../base/errors.ts'
import type { BuildOptions } from '../build-options.ts'
import type { Vertex } from '../graph/op.ts'

/**
 * The one place that grants a privilege (CVE-2024-23653): as BuildKit, before anything runs, and whether or not the result is cached. The host's
 * network is one by name only: the default is that network, too. Throws ENTITLEMENT.
 */
export function requireEntitlements(vertices: readonly Vertex[], { allow = [], network }: BuildOptions): void {
  // As buildx: to ask for the host's network is to allow it.
  const allowed: readonly string[] = network === 'host' ? [...allow, 'network.host'] : allow
  for (const { op, span } of vertices) {
    if (op.kind !== 'exec') continue
    const wanted = [...(op.security === 'insecure' ? ['security.insecure'] : []), ...(op.network === 'host' ? ['network.host'] : [])]
    const name = wanted.find((entitlement) => !allowed.includes(entitlement))
    if (name === undefined) continue
    throw new TbuildError('ENTITLEMENT', `entitlement ${name} is not allowed`, { hint: `pass --allow ${name}`, ...(span && { span }) })
  }
}
