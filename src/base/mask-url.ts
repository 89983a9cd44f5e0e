/** What may be shown and kept of URLs: never a login, never a token in the query. */

/** BuildKit's (util/urlutil). */
const MASK = 'xxxxx'

/**
 * A login goes up to the last @ before the path, as browsers and Go read it. What stands before `://` is not looked at: an option (`-xhttp://`), a fallback
 * (`${URL:-https://`). It is looked for where a word begins, so that a long word costs its length once; the next URL may stand in the same word.
 */
const LOGINS = /(?<![a-z0-9+.-])([a-z0-9+.-]+:\/\/)([^\s"<>`\\/?#]*)@/gi
const URLS = /:\/\/[^\s"<>`\\]+/g
const QUERY =
  /([?&;](?:access[_-]?token|private[_-]?token|job[_-]?token|auth[_-]?token|token|auth|api[_-]?key|key|secret|client_secret|password|passwd|pwd|sig|signature|X-(?:Amz|Goog)-(?:Signature|Credential|Security-Token)|AWSAccessKeyId)=)([^&;#\s"'<>]+)/gi

/** A variable that is not expanded is its name only. */
const VARIABLE = /^(?:\$\w+|\$\{\w+\})?$/

/** The text with the user information of every URL in it as `xxxxx`, as BuildKit's RedactCredentials has it, and with the values of query parameters that are known to be tokens masked. */
export function maskUrls(text: string, mask: (secret: string) => string = () => MASK): string {
  if (!text.includes('://')) return text
  return text
    .replace(LOGINS, (_, scheme: string, login: string) => `${scheme}${maskLogin(login, scheme, mask)}@`)
    .replace(URLS, (url) => url.replace(QUERY, (whole, name: string, value: string) => (VARIABLE.test(value) ? whole : name + mask(value))))
}

/** The same, each character by one: places in a line stay what they are. */
export function maskUrlsInPlace(text: string): string {
  return maskUrls(text, (secret) => 'x'.repeat(secret.length))
}

/** Of ssh the name alone is no secret: it is always there. */
function maskLogin(login: string, scheme: string, mask: (secret: string) => string): string {
  const at = login.indexOf(':')
  const [user, password] = at < 0 ? [login, undefined] : [login.slice(0, at), login.slice(at + 1)]
  if (VARIABLE.test(user) && VARIABLE.test(password ?? '')) return login
  if (password === undefined) return /ssh:/i.test(scheme) ? login : mask(login)
  return `${user === '' ? '' : mask(user)}:${mask(password)}`
}

/**
 * The user information of a URL, kept apart from it: only who makes a request reveals it. It prints and compares as a number of this process, so that an op
 * with it is still plain data, and equal logins are one object.
 */
export class Login {
  static readonly #known = new Map<string, Login>()
  readonly #text: string
  readonly #number: number

  private constructor(text: string, number: number) {
    this.#text = text
    this.#number = number
  }

  /** `user:password` or `user`, percent-encoded as it stands in a URL. */
  static of(text: string): Login {
    const known = Login.#known.get(text) ?? new Login(text, Login.#known.size + 1)
    Login.#known.set(text, known)
    return known
  }

  /** As it stands in a URL. */
  reveal(): string {
    return this.#text
  }

  /** The value of an Authorization header (RFC 7617). */
  basic(): string {
    const at = this.#text.indexOf(':')
    const [user, password] = at < 0 ? [this.#text, ''] : [this.#text.slice(0, at), this.#text.slice(at + 1)]
    return `Basic ${Buffer.from(`${decode(user)}:${decode(password)}`).toString('base64')}`
  }

  toJSON(): string {
    return `login ${this.#number}`
  }

  toString(): string {
    return MASK
  }
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    return text
  }
}

export interface SplitUrl {
  readonly url: string
  readonly login?: Login
}

/** An http, https or git URL without its login, otherwise as written, and the login. Other texts are only a URL. */
export function splitLogin(text: string): SplitUrl {
  const match = /^((?:https?|git):\/\/)([^/?#\\]*)@(.*)$/is.exec(text)
  if (match === null) return { url: text }
  const [, scheme = '', login = '', rest = ''] = match
  return { url: scheme + rest, ...(login === '' ? {} : { login: Login.of(login) }) }
}
