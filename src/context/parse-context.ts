/** What a context argument names, by its text. */
export type ContextName =
  | { readonly kind: 'stdin' }
  | { readonly kind: 'git'; readonly url: string }
  | { readonly kind: 'http'; readonly url: string }
  | { readonly kind: 'image'; readonly reference: string }
  | { readonly kind: 'directory'; readonly path: string }

/** The build context and `--build-context name=`: `-`, a git or http URL, docker-image://, oci-layout://, otherwise a directory. */
export function parseContextName(text: string): ContextName {
  if (text === '-') return { kind: 'stdin' }
  if (text.startsWith('docker-image://')) return { kind: 'image', reference: text.slice('docker-image://'.length) }
  if (text.startsWith('oci-layout://')) return { kind: 'image', reference: text }
  if (/^https?:\/\//.test(text)) return isGitUrl(text) ? { kind: 'git', url: text } : { kind: 'http', url: text }
  if (/^(git|ssh):\/\//.test(text) || /^git@[^/]+:/.test(text)) return { kind: 'git', url: text }
  return { kind: 'directory', path: text }
}

function isGitUrl(text: string): boolean {
  return /\.git$/.test(text.split(/[?#]/, 1)[0] as string)
}
