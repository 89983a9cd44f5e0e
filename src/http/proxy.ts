import { BlockList, isIP } from 'node:net'
import type { Environment } from '../base/environment.ts'
import { TbuildError } from '../base/errors.ts'
import { kindOfHost } from './origin.ts'

/** The proxy for a URL from HTTP_PROXY, HTTPS_PROXY and NO_PROXY (golang.org/x/net/http/httpproxy); loopback is never proxied. */
export function proxyFor(url: URL, environment: Environment): URL | undefined {
  const names = url.protocol === 'https:' ? ['HTTPS_PROXY', 'https_proxy'] : ['HTTP_PROXY', 'http_proxy']
  const value = names.map((name) => environment[name]).find(Boolean)
  if (value === undefined || kindOfHost(url.hostname) === 'loopback') return undefined
  if (isExcluded(url, environment.NO_PROXY || environment.no_proxy || '')) return undefined
  return parseProxy(value)
}

function parseProxy(value: string): URL {
  try {
    const proxy = new URL(value.includes('://') ? value : `http://${value}`)
    if (proxy.protocol === 'http:') return proxy
  } catch {
    // The value may hold a password: it is not shown.
  }
  throw new TbuildError('PROXY_INVALID', 'the proxy of HTTP_PROXY or HTTPS_PROXY cannot be used', {
    hint: 'write http://[user:password@]host:port',
  })
}

function isExcluded(url: URL, list: string): boolean {
  const host = url.hostname.replace(/^\[|\]$/g, '').toLowerCase()
  const port = url.port || (url.protocol === 'https:' ? '443' : '80')
  return list
    .split(',')
    .map((entry) => entry.trim().toLowerCase())
    .filter(Boolean)
    .some((entry) => entry === '*' || matches(entry, host, port))
}

function matches(entry: string, host: string, port: string): boolean {
  const family = isIP(host)
  if (entry.includes('/')) return family !== 0 && inSubnet(entry, host, family)
  const withPort = /^(.*?):([0-9]+)$/.exec(isIP(entry) === 6 ? '' : entry)
  if (withPort && withPort[2] !== port) return false
  const name = (withPort?.[1] ?? entry).replace(/^\[|\]$/g, '').replace(/^\*(?=\.)/, '')
  if (family !== 0) return name === host
  return name.startsWith('.') ? host.endsWith(name) : host === name || host.endsWith(`.${name}`)
}

function inSubnet(entry: string, host: string, family: number): boolean {
  const [net = '', bits = ''] = entry.split('/')
  const max = family === 4 ? 32 : 128
  if (isIP(net) !== family || !/^[0-9]{1,3}$/.test(bits) || Number(bits) > max) return false
  const list = new BlockList()
  list.addSubnet(net, Number(bits), family === 4 ? 'ipv4' : 'ipv6')
  return list.check(host, family === 4 ? 'ipv4' : 'ipv6')
}
