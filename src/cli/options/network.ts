import { ENTITLEMENTS, type Entitlement } from '../../build-options.ts'
import { type ExtraHost, parseExtraHost } from '../../values/extra-host.ts'
import { checked, unsupported, usage } from '../usage.ts'
import { csvFields } from './csv.ts'

/** `--add-host HOST:IP` or `HOST=IP`, several in one value. A RUN that reaches the host at all is in its network, so that its gateway is the host itself. */
export function extraHosts(values: readonly string[]): ExtraHost[] {
  return values
    .flatMap((value) => csvFields(value, '--add-host'))
    .map((text) => text.trim())
    .map((text) => checked(() => parseExtraHost(text)))
    .map(({ host, ip }) => ({ host, ip: ip === 'host-gateway' ? '127.0.0.1' : ip }))
}

/** `--network`. */
export function network(text: string): 'default' | 'none' | 'host' {
  if (text === '') return 'default'
  if (text === 'default' || text === 'none' || text === 'host') return text
  throw usage(`network mode ${JSON.stringify(text)} is not supported`, 'modes are default, none and host')
}

/** `--allow`, several in one value. */
export function entitlements(values: readonly string[]): Entitlement[] {
  return values
    .flatMap((value) => value.split(','))
    .map((name) => {
      const known = ENTITLEMENTS.find((entitlement) => entitlement === name)
      if (known !== undefined) return known
      throw unsupported(`entitlement ${JSON.stringify(name)}`, `entitlements are ${ENTITLEMENTS.join(', ')}`)
    })
}
