/** A login of one registry. `source` is for messages: a file or a helper. */
export type Credentials =
  | { readonly username: string; readonly password: string; readonly source: string }
  | { readonly identityToken: string; readonly source: string }

/** What a caller has for one registry. */
export interface HostCredentials {
  /** The first one whose `namespace` a repository is in is its login; the empty namespace is the whole registry. */
  readonly logins: readonly { readonly namespace: string; readonly login: Credentials }[]
  /** Why others were not taken. */
  readonly notes: readonly string[]
}

/** The login for a repository of that path. */
export function loginFor({ logins }: HostCredentials, path: string): Credentials | undefined {
  return logins.find(({ namespace }) => namespace === '' || `${path}/`.startsWith(`${namespace}/`))?.login
}
