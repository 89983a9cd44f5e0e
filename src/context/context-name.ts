import { isTbuildError, TbuildError } from '../base/errors.ts'
import { familiarImageReference, readImageReference } from '../values/image-reference.ts'
import { formatPlatform, parsePlatform } from '../values/platform.ts'

/** What the build context itself is called. */
export const MAIN_CONTEXT = 'context'

/**
 * The one spelling of a context's name: it is an image's, so that `alpine` stands in for `FROM docker.io/library/alpine:latest` (buildflags.ParseContextNames
 * of buildx). `NAME::os/arch` is for one platform. Throws CONTEXT_NAME.
 */
export function contextName(text: string): string {
  // An address in brackets has colons of its own.
  const at = text.indexOf('::', text.startsWith('[') ? text.indexOf(']') : 0)
  const written = at === -1 ? text : text.slice(0, at)
  const platform = at === -1 ? '' : `::${formatPlatform(parsePlatform(text.slice(at + 2)))}`
  const name = familiar(written).replace(/:latest$/, '')
  // A named context of that name is not the build context; no image's name begins like this.
  return `${name === MAIN_CONTEXT ? `_${name}` : name}${platform}`
}

function familiar(text: string): string {
  const read = readImageReference(text)
  if (typeof read !== 'string') return familiarImageReference(read)
  throw new TbuildError('CONTEXT_NAME', `invalid context name ${text}: ${read}`, {
    hint: 'a context is named like an image: lower case, with an optional tag',
  })
}

/** The same for a name of a Dockerfile, which may be none of a context's. */
export function contextNameOf(text: string): string | undefined {
  try {
    return contextName(text)
  } catch (error) {
    if (isTbuildError(error)) return undefined
    throw error
  }
}
