import { BlockList, isIP } from 'node:net'

/** scheme + host + port: what credentials belong to. */
export function sameOrigin(a: URL, b: URL): boolean {
  return a.protocol === b.protocol && a.host === b.host
}

/** Whether a URL is of this host[:port], which may be spelled in another way there: `Reg.example:443` is https://reg.example/. */
export function isAt(url: URL, host: string): boolean {
  return new URL(`${url.protocol}//${host}`).host === url.host
}

/** Made when it is first asked: a build without the network does without Node's module of it. */
function blockList(entries: readonly (readonly [string, number, 'ipv4' | 'ipv6'])[]): () => BlockList {
  let list: BlockList | undefined
  return () => {
    if (list !== undefined) return list
    list = new BlockList()
    for (const [net, prefix, family] of entries) list.addSubnet(net, prefix, family)
    return list
  }
}

const LOOPBACK = blockList([
  ['127.0.0.0', 8, 'ipv4'],
  ['::1', 128, 'ipv6'],
])
/** Cloud metadata services live in link-local; the unspecified address reaches this machine. */
const NEVER = blockList([
  ['0.0.0.0', 8, 'ipv4'],
  ['169.254.0.0', 16, 'ipv4'],
  ['::', 128, 'ipv6'],
  ['fe80::', 10, 'ipv6'],
  ['fd00:ec2::254', 128, 'ipv6'],
])
const PRIVATE = blockList([
  ['10.0.0.0', 8, 'ipv4'],
  ['100.64.0.0', 10, 'ipv4'],
  ['172.16.0.0', 12, 'ipv4'],
  ['192.168.0.0', 16, 'ipv4'],
  ['fc00::', 7, 'ipv6'],
])

/** The host without brackets; `::ffff:a.b.c.d` as the IPv4 address that it reaches. WHATWG URL has folded 0x7f.1 and the like. */
function bareHost(host: string): string {
  const bare = host
    .toLowerCase()
    .replace(/^\[|\]$/g, '')
    .replace(/\.$/, '')
  const mapped = /^::ffff:([0-9a-f]{1,4}):([0-9a-f]{1,4})$/i.exec(bare)
  if (!mapped) return bare
  const [high, low] = [Number.parseInt(mapped[1] as string, 16), Number.parseInt(mapped[2] as string, 16)]
  return `${high >> 8}.${high & 255}.${low >> 8}.${low & 255}`
}

function inList(list: () => BlockList, host: string): boolean {
  const family = isIP(host)
  return family !== 0 && list().check(host, family === 4 ? 'ipv4' : 'ipv6')
}

export type HostKind = 'loopback' | 'never' | 'private' | 'public'

/** By the literal only: a name is `public` (but for localhost), whatever it resolves to. */
export function kindOfHost(hostname: string): HostKind {
  const host = bareHost(hostname)
  if (host === 'localhost' || host.endsWith('.localhost') || inList(LOOPBACK, host)) return 'loopback'
  if (inList(NEVER, host)) return 'never'
  return inList(PRIVATE, host) ? 'private' : 'public'
}

/** The hostname of a registry domain such as `127.0.0.1:5000` or `[::1]:5000`. */
export function hostnameOf(domain: string): string {
  return domain.replace(/:[0-9]+$/, '')
}

/**
 * Why a redirect (or upload Location) may not be followed, or undefined. Hops down to http and to link-local or unspecified addresses are never
 * right; loopback only when the request itself went there. Private addresses are where on-premise registries keep their blobs: allowed, as
 * they get no credentials and what they send is verified.
 */
export function redirectProblem(from: URL, to: URL): string | undefined {
  if (to.protocol !== 'https:' && to.protocol !== 'http:') return `the scheme ${to.protocol} is not http or https`
  if (from.protocol === 'https:' && to.protocol === 'http:') return 'it leaves https for http'
  if (to.username !== '' || to.password !== '') return 'it carries credentials'
  if (from.host === to.host) return undefined
  const kind = kindOfHost(to.hostname)
  if (kind === 'never') return `${to.hostname} is a link-local or unspecified address`
  if (kind === 'loopback' && kindOfHost(from.hostname) !== 'loopback') return `${to.hostname} is this machine`
  return undefined
}

/**
 * Why a token realm may not be asked, or undefined: the one cross-host hop that may see credentials (CVE-2026-48978). https when the registry is
 * https; no literal loopback, private, link-local or unspecified address unless it is the registry itself.
 */
export function realmProblem(registry: URL, realm: URL): string | undefined {
  if (realm.protocol !== 'https:' && realm.protocol !== 'http:') return `the scheme ${realm.protocol} is not http or https`
  if (registry.protocol === 'https:' && realm.protocol !== 'https:') return 'the registry is https and the realm is not'
  if (realm.username !== '' || realm.password !== '') return 'it carries credentials'
  if (realm.host === registry.host) return undefined
  const kind = kindOfHost(realm.hostname)
  return kind === 'public' ? undefined : `${realm.hostname} is a ${kind === 'never' ? 'link-local or unspecified' : kind} address`
}
