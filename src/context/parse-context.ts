import { type GitReference, parseGitReference } from '../values/git-reference.ts'

/** What a context argument names, by its text. */
type ContextName =
  | { readonly kind: 'stdin' }
  | { readonly kind: 'git'; readonly git: GitReference }
  | { readonly kind: 'http'; readonly url: string }
  | { readonly kind: 'image'; readonly reference: string }
  | { readonly kind: 'directory'; readonly path: string }

/** `--build-context name=`: docker-image://, oci-layout://, a git or http URL, otherwise a directory. */
export function parseNamedContext(text: string): ContextName {
  if (text.startsWith('docker-image://')) return { kind: 'image', reference: text.slice('docker-image://'.length) }
  if (text.startsWith('oci-layout://')) return { kind: 'image', reference: text }
  const git = parseGitReference(text)
  // github.com/x/y is a repository only as the build context itself.
  if (git !== undefined && !git.shortForm) return { kind: 'git', git }
  return isHttpUrl(text) ? { kind: 'http', url: text } : { kind: 'directory', path: text }
}

/** The build context, where there is no such directory: `-`, a git or http URL, github.com/x/y. */
export function parseContextName(text: string): ContextName {
  if (text === '-') return { kind: 'stdin' }
  const git = parseGitReference(text)
  if (git !== undefined) return { kind: 'git', git }
  return isHttpUrl(text) ? { kind: 'http', url: text } : { kind: 'directory', path: text }
}

export function isHttpUrl(text: string): boolean {
  return /^https?:\/\//.test(text)
}
