import { maskUrls } from '../base/mask-url.ts'

/** What may be shown of a URL: no userinfo, and no query (a signed blob URL carries its signature there). */
export function redactUrl(url: URL | string): string {
  try {
    const parsed = new URL(url)
    return `${parsed.protocol}//${parsed.host}${parsed.pathname}${parsed.search === '' ? '' : '?…'}`
  } catch {
    return '(an invalid URL)'
  }
}

/** Text of a remote server made fit for a message: control characters (terminal escapes) become spaces, length is bounded. */
export function printable(text: string, limit = 300): string {
  // Masked before it is cut: half a URL is none.
  const masked = maskUrls(text)
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is taken out
  const clean = masked.replace(/[\u0000-\u001f\u007f-\u009f\u200e\u200f\u2028-\u202e\u2066-\u2069]+/g, ' ').trim()
  return clean.length > limit ? `${clean.slice(0, limit)}…` : clean
}
