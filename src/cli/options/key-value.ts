import { contextName } from '../../context/context-name.ts'
import { checked, usage } from '../usage.ts'

/** `--build-arg K=V` and `--build-arg K`, without a value yet (A10). The last of a name wins. */
export function buildArgs(values: readonly string[]): Record<string, string | undefined> {
  const args: Record<string, string | undefined> = Object.create(null)
  for (const text of values) {
    const [key, value] = split(text)
    if (key === '') throw usage(`invalid --build-arg ${JSON.stringify(text)}: the name is empty`, 'write --build-arg NAME=VALUE')
    args[key] = value
  }
  return args
}

/** `--label K=V`; a label without `=` is empty, as docker's. */
export function labels(values: readonly string[]): Record<string, string> {
  const result: Record<string, string> = Object.create(null)
  for (const text of values) {
    const [key, value] = split(text)
    if (key === '') throw usage(`invalid --label ${JSON.stringify(text)}: the name is empty`, 'write --label NAME=VALUE')
    result[key] = value ?? ''
  }
  return result
}

/** `--build-context NAME=VALUE`. */
export function buildContexts(values: readonly string[]): Record<string, string> {
  const result: Record<string, string> = Object.create(null)
  for (const text of values) {
    const [key, value] = split(text)
    if (key === '' || value === undefined || value === '') {
      throw usage(
        `invalid --build-context ${JSON.stringify(text)}: expected NAME=VALUE`,
        'VALUE is a directory, docker-image://REF, oci-layout://DIR[:TAG] or a URL',
      )
    }
    checked(() => contextName(key))
    result[key] = value
  }
  return result
}

function split(text: string): [string, string | undefined] {
  const equals = text.indexOf('=')
  return equals === -1 ? [text, undefined] : [text.slice(0, equals), text.slice(equals + 1)]
}
