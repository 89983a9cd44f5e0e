import { isIP } from 'node:net'
import { unsupported, usage } from '../usage.ts'

/** `--add-host HOST:IP` or `HOST=IP`; an IPv6 address may stand in brackets. */
export function extraHost(text: string): { host: string; ip: string } {
  const at = text.search(/[=:]/)
  const host = text.slice(0, at)
  let ip = text.slice(at + 1)
  if (at <= 0 || ip === '') throw usage(`bad format for add-host: ${JSON.stringify(text)}`, 'write --add-host HOST:IP')
  if (ip === 'host-gateway') throw unsupported('--add-host with host-gateway', 'a RUN step shares the network of the host: name 127.0.0.1')
  if (ip.startsWith('[') && ip.endsWith(']')) ip = ip.slice(1, -1)
  if (isIP(ip) === 0) throw usage(`invalid IP address in add-host: ${JSON.stringify(ip)}`)
  if (!/^[A-Za-z0-9_.-]+$/.test(host)) throw usage(`invalid host name in add-host: ${JSON.stringify(host)}`)
  return { host, ip }
}

/** `--network`. */
export function network(text: string): 'default' | 'none' | 'host' {
  if (text === 'default' || text === 'none' || text === 'host') return text
  throw usage(`network mode ${JSON.stringify(text)} is not supported`, 'modes are default, none and host')
}

/** `--allow`, several in one value. */
export function entitlements(values: readonly string[]): ('network.host' | 'security.insecure')[] {
  return values
    .flatMap((value) => value.split(','))
    .map((name) => {
      if (name === 'network.host' || name === 'security.insecure') return name
      throw unsupported(`entitlement ${JSON.stringify(name)}`, 'entitlements are network.host and security.insecure')
    })
}
