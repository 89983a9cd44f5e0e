import { parseGoBool } from '../../base/go-bool.ts'
import { usage } from '../usage.ts'

/** `--call=METHOD[,format=json][,ignorestatus=true]`: a question instead of a build. */
export interface Call {
  readonly method: 'build' | 'check' | 'outline' | 'targets'
  readonly json: boolean
  /** Findings of `check` leave the exit status 0. */
  readonly ignoreStatus: boolean
}

/** `lint` is what BuildKit itself calls `check`. */
const METHODS: Readonly<Record<string, Call['method']>> = {
  build: 'build',
  check: 'check',
  lint: 'check',
  outline: 'outline',
  targets: 'targets',
}

/** `--check` is `--call=check`. */
export function call({ call: text, check = false }: { readonly call?: string; readonly check?: boolean }): Call {
  const written = text ?? (check ? 'check' : 'build')
  let method: Call['method'] | undefined
  let json = false
  let ignoreStatus = false
  for (const field of written.split(',')) {
    const [key = '', value] = field.split('=', 2)
    if (value === undefined) {
      if (method !== undefined) throw usage(`invalid value of --call: ${written}`, 'name one method')
      method = METHODS[key]
      if (method === undefined) throw usage(`--call=${key} is not known`, 'methods are build, check, outline and targets')
    } else if (key === 'format') {
      if (value !== 'json' && value !== 'text') throw usage(`--call: format ${value} is not known`, 'formats are text and json')
      json = value === 'json'
    } else if (key === 'ignorestatus') {
      const ignore = parseGoBool(value)
      if (ignore === undefined) throw usage(`--call: ignorestatus=${value} is not true or false`)
      ignoreStatus = ignore
    } else throw usage(`--call: invalid field ${field}`, 'fields are format and ignorestatus')
  }
  if (check && method !== 'check') throw usage('--check and --call ask for different things', 'give one of them')
  return { method: method ?? 'check', json, ignoreStatus }
}
