import { isIP } from 'node:net'
import { TbuildError } from '../base/errors.ts'

/** A line of /etc/hosts in a RUN. */
export interface ExtraHost {
  readonly host: string
  /** An address, or `host-gateway`. */
  readonly ip: string
}

/** `--add-host name:ip` or `name=ip`; an IPv6 address may stand in brackets. Throws ADD_HOST_INVALID. */
export function parseExtraHost(text: string): ExtraHost {
  const equals = text.indexOf('=')
  const separator = equals < 0 ? text.indexOf(':') : equals
  if (separator <= 0) throw invalid(`bad format for add-host: "${text}"`)
  const host = text.slice(0, separator)
  const address = text.slice(separator + 1).replace(/^\[(.*)\]$/, '$1')
  if (address !== 'host-gateway' && isIP(address) === 0) throw invalid(`invalid IP address in add-host: "${address}"`)
  // The name becomes a field of a line of /etc/hosts.
  if (/[\s#]/.test(host)) throw invalid(`bad format for add-host: "${text}"`)
  return { host, ip: address }
}

function invalid(message: string): TbuildError {
  return new TbuildError('ADD_HOST_INVALID', message, { hint: 'write --add-host name:ip, for example registry.local:10.0.0.2' })
}
