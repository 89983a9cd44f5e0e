import { TbuildError } from '../base/errors.ts'
import type { OnEvent } from '../base/events.ts'
import type { Entitlement, ResolvedOptions } from '../build-options.ts'
import type { ExecOp, ExecOpMount, Vertex } from '../graph/op.ts'

type EntitlementOptions = Pick<ResolvedOptions, 'allow' | 'network' | 'secrets' | 'agents'>

interface Wish {
  readonly entitlement: Entitlement
  /** What is asked for, where that is more than the name says. */
  readonly what?: string
}

/**
 * The one place that grants a privilege (CVE-2024-23653): as BuildKit, before anything runs, and whether or not the result is cached. The host's
 * network is one by name only: the default is that network, too. A secret, or an agent, that the trigger of a base image could do without is not given to
 * it (src/solve/secrets.ts), and that is told. Throws ENTITLEMENT.
 */
export function requireEntitlements(vertices: readonly Vertex[], options: EntitlementOptions, onEvent: OnEvent): void {
  const { allow = [], network } = options
  // As buildx: to ask for the host's network is to allow it.
  const allowed: readonly string[] = network === 'host' ? [...allow, 'network.host'] : allow
  for (const { op, span } of vertices) {
    if (op.kind !== 'exec') continue
    const wish = wishesOf(op).find(({ entitlement }) => !allowed.includes(entitlement))
    if (wish !== undefined) {
      const { entitlement, what } = wish
      throw new TbuildError('ENTITLEMENT', `entitlement ${entitlement} is not allowed${what === undefined ? '' : `: ${what}`}`, {
        hint: `pass --allow ${entitlement}${what === undefined ? '' : ' if you trust that image'}`,
        ...(span && { span }),
      })
    }
    for (const mount of op.mounts) reportWithheld(mount, options, onEvent)
  }
}

function wishesOf(op: ExecOp): Wish[] {
  return [
    ...(op.security === 'insecure' ? [{ entitlement: 'security.insecure' } as const] : []),
    ...(op.network === 'host' ? [{ entitlement: 'network.host' } as const] : []),
    ...op.mounts.flatMap((mount) => {
      const wish = triggerWish(mount)
      return wish !== undefined && 'required' in mount && mount.required ? [wish] : []
    }),
  ]
}

function triggerWish(mount: ExecOpMount): Wish | undefined {
  const { triggerOf } = mount
  if (triggerOf === undefined || (mount.type !== 'secret' && mount.type !== 'ssh')) return undefined
  const [entitlement, thing] = mount.type === 'secret' ? (['onbuild.secrets', 'secret'] as const) : (['onbuild.ssh', 'agent'] as const)
  return { entitlement, what: `ONBUILD of ${triggerOf} asks for the ${thing} "${mount.id}"` }
}

function reportWithheld(mount: ExecOpMount, { allow = [], secrets, agents }: EntitlementOptions, onEvent: OnEvent): void {
  const wish = triggerWish(mount)
  if (wish === undefined || allow.includes(wish.entitlement)) return
  const given = mount.type === 'secret' ? secrets : agents
  if (!('id' in mount) || !given.includes(mount.id)) return
  onEvent({ type: 'notice', message: `${wish.what} and does not get it; --allow ${wish.entitlement} gives it` })
}
