import { TbuildError } from '../base/errors.ts'

/**
 * DOCKER_AUTH_CONFIG, which docker has read since its command line 28.3: `{"auths":{"HOST":{"auth":"…"}}}`, one object. As docker, with anything else in it
 * none of it is used. Throws DOCKER_CONFIG_INVALID, which shows nothing of the value.
 */
export function authVariable(text: string): ReadonlyMap<string, unknown> {
  if (text.trim() === '') return new Map()
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch {
    // Node's error quotes the text.
    throw unusable('it is not valid JSON')
  }
  const { auths, ...others } = objectOf(value ?? {}, 'it is not an object')
  const [other] = Object.keys(others)
  if (other !== undefined) throw unusable(`it has ${JSON.stringify(other)}, and docker takes "auths" only`)
  const entries = new Map(Object.entries(objectOf(auths ?? {}, 'its "auths" is not an object')))
  for (const [host, entry] of entries)
    checkEntry(JSON.stringify(host), objectOf(entry, `its entry of ${JSON.stringify(host)} is not an object`))
  return entries
}

function checkEntry(host: string, { auth, ...others }: Readonly<Record<string, unknown>>): void {
  const [other] = Object.keys(others)
  if (other !== undefined) throw unusable(`its entry of ${host} has ${JSON.stringify(other)}, and docker takes "auth" only`)
  if (typeof auth !== 'string' || !/^.+:/s.test(Buffer.from(auth, 'base64').toString('utf8'))) {
    throw unusable(`the "auth" of ${host} is not user:password in base64`)
  }
}

function objectOf(value: unknown, otherwise: string): Readonly<Record<string, unknown>> {
  if (value !== null && typeof value === 'object' && !Array.isArray(value)) return value as Record<string, unknown>
  throw unusable(otherwise)
}

function unusable(reason: string): TbuildError {
  return new TbuildError('DOCKER_CONFIG_INVALID', `DOCKER_AUTH_CONFIG is not used: ${reason}`, { hint: 'mend the variable, or unset it' })
}
