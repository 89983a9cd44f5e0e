/** A login of one registry. `source` is for messages: a file or a helper. */
export type Credentials =
  | { readonly username: string; readonly password: string; readonly source: string }
  | { readonly identityToken: string; readonly source: string }
