const STUB = '127.0.0.53'

const nameserverOf = (line: string): string | undefined => /^\s*nameserver\s+(\S+)/.exec(line)?.[1]
const isLoopback = (address: string): boolean => /^127\./.test(address) || address === '::1'

/** Whether the file names systemd-resolved's stub alone: then the real servers stand in /run/systemd/resolve/resolv.conf. */
export function hasOnlyStubResolver(text: string): boolean {
  const servers = text.split('\n').flatMap((line) => nameserverOf(line) ?? [])
  return servers.length === 1 && servers[0] === STUB
}

/**
 * /etc/resolv.conf of a RUN (R3). A run that shares the host's network keeps it as it is: the host's loopback servers are its own. With a network of its own
 * they cannot be reached and go. Without any network there is nobody to ask (CVE-2024-29018): no servers, no search domains.
 */
export function resolvConf(text: string, network: 'host' | 'own' | 'none'): string {
  if (network === 'none') return '# --network=none\n'
  if (network === 'host') return text
  const lines = text.split('\n').filter((line) => {
    const server = nameserverOf(line)
    return server === undefined || !isLoopback(server)
  })
  return lines.join('\n')
}
