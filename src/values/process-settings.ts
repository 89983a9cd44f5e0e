import type { Json } from '../base/canonical-json.ts'
import { type Codec, integer, listOf, object, orUndefined, text } from '../base/codec.ts'
import type { ExtraHost } from './extra-host.ts'
import type { Ulimit } from './ulimit.ts'

/**
 * What the caller sets for the commands of a build, beyond what their Dockerfile says. One value: from the options to the sandbox's plan it is carried by
 * reference, and only those who act on a member name it (CONTRIBUTING, "an option of RUN").
 */
export interface ProcessSettings {
  /** More lines of /etc/hosts in every RUN. */
  readonly extraHosts: readonly ExtraHost[]
  /** Resource limits of every RUN. */
  readonly ulimits: readonly Ulimit[]
  /** Bytes of /dev/shm in a RUN; default: 64 MiB. */
  readonly shmSize: number | undefined
  /** A cgroup that is there; each RUN gets one of its own below it. */
  readonly cgroupParent: string | undefined
}

/** Those of `given`, which may have other members, and what holds without. */
export function processSettings({ extraHosts = [], ulimits = [], shmSize, cgroupParent }: Partial<ProcessSettings>): ProcessSettings {
  return { extraHosts, ulimits, shmSize, cgroupParent }
}

/** What of them decides what a command makes, as parts of its cache key: not the address of a host, and not the size of /dev/shm (K3). */
export function settingsParts({ extraHosts, ulimits, cgroupParent }: ProcessSettings): { readonly name: string; readonly value: Json }[] {
  return [
    ...(extraHosts.length === 0 ? [] : [{ name: 'hosts', value: extraHosts.map(({ host }) => host) }]),
    ...(ulimits.length === 0 ? [] : [{ name: 'ulimits', value: ulimits.map(({ name, soft, hard }) => `${name}=${soft}:${hard}`) }]),
    ...(cgroupParent === undefined ? [] : [{ name: 'cgroup parent', value: cgroupParent }]),
  ]
}

/** How they go to another machine with the op of a RUN. */
export function settingsCodec(): Codec<ProcessSettings> {
  return object<ProcessSettings>({
    extraHosts: listOf(object<ExtraHost>({ host: text, ip: text })),
    ulimits: listOf(object<Ulimit>({ name: text, soft: integer(-1), hard: integer(-1) })),
    shmSize: orUndefined(integer(0)),
    cgroupParent: orUndefined(text),
  })
}
