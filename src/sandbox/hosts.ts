import type { ExtraHost } from '../values/extra-host.ts'

/** /etc/hosts of a RUN (R2): BuildKit's two lines, then `--add-host`, in the order given. */
export function hostsFile(hostname: string, extra: readonly ExtraHost[]): string {
  const lines = [`127.0.0.1\tlocalhost ${hostname}`, '::1\tlocalhost ip6-localhost ip6-loopback']
  return `${[...lines, ...extra.map(({ host, ip }) => `${ip}\t${host}`)].join('\n')}\n`
}
