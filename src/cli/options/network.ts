import { type ExtraHost, parseExtraHost } from '../../base/extra-host.ts'
import { checked, unsupported, usage } from '../usage.ts'

/** `--add-host HOST:IP` or `HOST=IP`. */
export function extraHost(text: string): ExtraHost {
  const found = checked(() => parseExtraHost(text))
  if (found.ip === 'host-gateway') {
    throw unsupported('--add-host with host-gateway', 'a RUN step shares the network of the host: name 127.0.0.1')
  }
  return found
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
