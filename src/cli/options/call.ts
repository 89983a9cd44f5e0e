import { parseGoBool } from '../../go/bool.ts'
import { usage } from '../usage.ts'
import { csvFields } from './csv.ts'

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

const METHODS_HINT = 'methods are build, check, outline and targets'

/** `--check` is `--call=check`. An empty `--call` asks for nothing. */
export function call({ call: text, check = false }: { readonly call?: string; readonly check?: boolean }): Call {
  const written = text || (check ? 'check' : 'build')
  let method: Call['method'] | undefined
  let json = false
  let ignoreStatus = false
  for (const field of csvFields(written, '--call')) {
    const [key = '', value] = field.split('=', 2)
    if (value === undefined) {
      // What is empty before the name of the method names nothing yet (buildx).
      if (key === '' && method === undefined) continue
      if (method !== undefined) throw usage(`invalid value of --call: ${written}`, 'name one method')
      method = Object.hasOwn(METHODS, key) ? METHODS[key] : undefined
      if (method === undefined) throw usage(`--call=${key} is not known`, METHODS_HINT)
    } else if (key === 'format') {
      if (value !== 'json' && value !== 'text' && value !== '')
        throw usage(`--call: format ${value} is not known`, 'formats are text and json')
      json = value === 'json'
    } else if (key === 'ignorestatus') {
      const ignore = parseGoBool(value)
      if (ignore === undefined) throw usage(`--call: ignorestatus=${value} is not true or false`)
      ignoreStatus = ignore
    } else throw usage(`--call: invalid field ${field}`, 'fields are format and ignorestatus')
  }
  if (method === undefined) throw usage(`--call=${written} names no method`, METHODS_HINT)
  if (check && method !== 'check') throw usage('--check and --call ask for different things', 'give one of them')
  return { method, json, ignoreStatus }
}
