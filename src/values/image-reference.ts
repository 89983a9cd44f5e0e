import { type Digest, digestProblem, isDigest } from '../base/digest.ts'
import { TbuildError } from '../base/errors.ts'
import { goQuote } from '../go/quote.ts'

/** An image name in the grammar of github.com/distribution/reference, normalised as Docker does it. */
export interface ImageReference {
  /** `docker.io`, `127.0.0.1:5000`, `[::1]:5000` */
  readonly domain: string
  /** Repository below the domain: `library/debian` */
  readonly path: string
  /** Undefined only when a digest is given. */
  readonly tag?: string
  /** Wins over the tag. */
  readonly digest?: Digest
  /** A sha384 or sha512 instead: the registry is asked by it, and what it names has a Digest of its own. */
  readonly foreignDigest?: string
}

const DEFAULT_DOMAIN = 'docker.io'
const LEGACY_DOMAIN = 'index.docker.io'
const OFFICIAL = 'library/'
/** distribution/reference RepositoryNameTotalLengthMax: of the path, domain not counted. */
const PATH_MAX = 255

const LABEL = '(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9])'
const DOMAIN = new RegExp(`^(?:${LABEL}(?:\\.${LABEL})*|\\[[a-fA-F0-9:]+\\])(?::[0-9]+)?$`)
const COMPONENT = /^[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*$/
const TAG = /^[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}$/
const ANY_DIGEST = /^[A-Za-z][A-Za-z0-9]*(?:[-_+.][A-Za-z][A-Za-z0-9]*)*:[0-9a-fA-F]{32,}$/

export const REFERENCE_HINT = 'write [registry[:port]/]repository[:tag][@sha256:digest], all lower case but for the tag'

const FORMAT = 'invalid reference format'

/** Parses and normalises: `debian` → docker.io/library/debian:latest. Throws IMAGE_REFERENCE_INVALID with distribution's messages. */
export function parseImageReference(text: string): ImageReference {
  const read = readImageReference(text)
  if (typeof read !== 'string') return read
  throw new TbuildError('IMAGE_REFERENCE_INVALID', `failed to parse image name ${goQuote(text)}: ${read}`, { hint: REFERENCE_HINT })
}

/** The same for who has words of his own: a text is what is wrong, in distribution's. */
export function readImageReference(text: string): ImageReference | string {
  if (/^[a-f0-9]{64}$/.test(text)) return `invalid repository name (${text}), cannot specify 64-byte hexadecimal strings`
  const { domain, remainder } = splitDomain(text)
  // Up to the first colon: the digest's algorithm may be among it.
  const [remote = ''] = remainder.split(':', 1)
  if (remote !== remote.toLowerCase()) return `${FORMAT}: repository name (${remote}) must be lowercase`
  const { path, tag, digest } = splitRemainder(remainder)
  if (!DOMAIN.test(domain) || !path.split('/').every((part) => COMPONENT.test(part))) return FORMAT
  if ((tag !== undefined && !TAG.test(tag)) || (digest !== undefined && !ANY_DIGEST.test(digest))) return FORMAT
  if (path.length > PATH_MAX) return `repository name must not be more than ${PATH_MAX} characters`
  if (digest === undefined) return { domain, path, tag: tag ?? 'latest' }
  const problem = digestProblem(digest)
  if (problem !== undefined) return problem
  return { domain, path, ...(tag === undefined ? {} : { tag }), ...(isDigest(digest) ? { digest } : { foreignDigest: digest }) }
}

/** By a digest of any kind, which no push can choose. */
export function isPinned({ digest, foreignDigest }: ImageReference): boolean {
  return digest !== undefined || foreignDigest !== undefined
}

/** What a registry is asked for a manifest by. */
export function manifestIdentifier({ digest, foreignDigest, tag = 'latest' }: ImageReference): string {
  return digest ?? foreignDigest ?? tag
}

/** The first component is a domain when it could not be a repository's: it holds `.` or `:` or an upper-case letter, or is localhost. */
function splitDomain(text: string): { domain: string; remainder: string } {
  const slash = text.indexOf('/')
  const first = text.slice(0, Math.max(slash, 0))
  let domain = DEFAULT_DOMAIN
  let remainder = text
  if (slash >= 0 && (first === 'localhost' || /[.:]/.test(first) || first !== first.toLowerCase())) {
    domain = first === LEGACY_DOMAIN ? DEFAULT_DOMAIN : first
    remainder = text.slice(slash + 1)
  }
  if (domain === DEFAULT_DOMAIN && !remainder.includes('/')) remainder = OFFICIAL + remainder
  return { domain, remainder }
}

function splitRemainder(remainder: string): { path: string; tag?: string; digest?: string } {
  const at = remainder.indexOf('@')
  const named = at < 0 ? remainder : remainder.slice(0, at)
  const colon = named.indexOf(':')
  return {
    path: colon < 0 ? named : named.slice(0, colon),
    ...(colon < 0 ? {} : { tag: named.slice(colon + 1) }),
    ...(at < 0 ? {} : { digest: remainder.slice(at + 1) }),
  }
}

function suffix(reference: ImageReference): string {
  const digest = reference.digest ?? reference.foreignDigest
  return (reference.tag === undefined ? '' : `:${reference.tag}`) + (digest === undefined ? '' : `@${digest}`)
}

/** `docker.io/library/debian:bookworm`, as BuildKit writes it in its progress and provenance. */
export function formatImageReference(reference: ImageReference): string {
  return `${reference.domain}/${reference.path}${suffix(reference)}`
}

/** `debian:bookworm`, as `docker images` writes it. */
export function familiarImageReference(reference: ImageReference): string {
  const { domain, path } = reference
  if (domain !== DEFAULT_DOMAIN) return formatImageReference(reference)
  const short = path.startsWith(OFFICIAL) && !path.slice(OFFICIAL.length).includes('/') ? path.slice(OFFICIAL.length) : path
  return short + suffix(reference)
}

/** `docker.io/library/busybox:latest` → `busybox:latest`; a name without a tag gets `:latest`. What is no name stays as it is written. */
export function familiarName(name: string): string {
  const reference = readImageReference(name)
  return typeof reference === 'string' ? name : familiarImageReference(reference)
}

/** `docker.io/library/app:1` → `app` and `1`; the port of a registry is no tag, and a name with a digest has none. */
export function splitName(name: string): { readonly repository: string; readonly tag: string | undefined } {
  const reference = readImageReference(name)
  if (typeof reference === 'string') return { repository: name, tag: undefined }
  const { domain, path, tag } = reference
  return { repository: familiarImageReference({ domain, path }), tag }
}

/** The repository of the same registry that a layer came from: a push mounts it there instead of sending it. */
export function repositoryIn(domain: string, origin: string | undefined): string | undefined {
  if (origin === undefined || origin.includes('://')) return undefined
  const reference = parseImageReference(origin)
  return reference.domain === domain ? reference.path : undefined
}
