import { TbuildError } from '../base/errors.ts'
import type { TreeView } from '../tree/types.ts'
import { readInContext } from './dockerfile.ts'

/** In the root of the build context. Options of the command line win. */
export const CONFIG_NAME = '.tbuild.json'

/** What a project asks of all its builds. */
interface ProjectConfig {
  readonly normalizeModes?: boolean
}

/** The settings in `.tbuild.json`; a member that is not known is an error, so that a typing mistake is noticed. */
export function readProjectConfig(context: TreeView): ProjectConfig {
  const file = readInContext(context, CONFIG_NAME)
  if (file === undefined) return {}
  let value: unknown
  try {
    value = JSON.parse(file.text)
  } catch (error) {
    throw invalid((error as Error).message, error)
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw invalid('it is not an object')
  const { normalizeModes, ...unknown } = value as Record<string, unknown>
  const [name] = Object.keys(unknown)
  if (name !== undefined) throw invalid(`${JSON.stringify(name)} is not a setting`)
  if (normalizeModes === undefined) return {}
  if (typeof normalizeModes !== 'boolean') throw invalid('"normalizeModes" is neither true nor false')
  return { normalizeModes }
}

function invalid(what: string, cause?: unknown): TbuildError {
  return new TbuildError('CONFIG_INVALID', `${CONFIG_NAME}: ${what}`, { hint: 'the settings are: {"normalizeModes": true}', cause })
}
