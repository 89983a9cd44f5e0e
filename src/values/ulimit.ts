import { TbuildError } from '../base/errors.ts'

/** A resource limit; -1 is unlimited. */
export interface Ulimit {
  readonly name: string
  readonly soft: number
  readonly hard: number
}

const NAMES = 'core cpu data fsize locks memlock msgqueue nice nofile nproc rss rtprio rttime sigpending stack'.split(' ')

/** `--ulimit nofile=1024[:2048]`, as docker takes it. Throws ULIMIT_INVALID. */
export function parseUlimit(text: string): Ulimit {
  const equals = text.indexOf('=')
  if (equals < 0) throw invalid(`invalid ulimit argument: ${text}`)
  const name = text.slice(0, equals)
  if (!NAMES.includes(name)) throw invalid(`invalid ulimit type: ${name}`)
  const values = text.slice(equals + 1).split(':')
  if (values.length > 2) {
    throw invalid(`too many limit value arguments - ${values.join(':')}, can only have up to two, \`soft[:hard]\``)
  }
  const soft = parseLimit(values[0] as string)
  const hard = values[1] === undefined ? soft : parseLimit(values[1])
  if (hard !== -1 && (soft === -1 || soft > hard)) {
    throw invalid(`ulimit soft limit must be less than or equal to hard limit: ${soft === -1 ? 'unlimited' : soft} > ${hard}`)
  }
  return { name, soft, hard }
}

function parseLimit(text: string): number {
  if (text === 'infinity' || text === '-1') return -1
  const value = /^\+?\d+$/.test(text) ? Number(text) : Number.NaN
  if (!Number.isSafeInteger(value)) throw invalid(`invalid limit: ${text}`)
  return value
}

function invalid(message: string): TbuildError {
  return new TbuildError('ULIMIT_INVALID', message, { hint: 'write --ulimit name=soft[:hard], for example nofile=1024:2048' })
}
