import { readCapped } from '../base/read-capped.ts'
import { printable } from './redact.ts'
import type { HttpResponse } from './transport.ts'

/** Bytes of an error or token body that are read, and milliseconds for those of an error. */
export const SMALL_BODY = 64 * 1024
const PATIENCE = 5_000

export interface Detail {
  /** Of the first error. */
  readonly code: string | undefined
  /** In one line, bounded, without control characters. */
  readonly text: string
}

const NOTHING: Detail = { code: undefined, text: '' }

/** What a registry or its token server says: the distribution spec's error body (`whole`: with its `detail`), other JSON, plain text, or nothing. */
export async function errorDetail(response: HttpResponse, whole: boolean): Promise<Detail> {
  const late = setTimeout(() => response.body.destroy(), PATIENCE)
  try {
    const text = (await readCapped(response.body, SMALL_BODY))?.toString('utf8') ?? ''
    if (/^text\/plain\b/.test(response.header('content-type') ?? '') && !/^\s*\{/.test(text))
      return { ...NOTHING, text: printable(text, 200) }
    return fromJson(JSON.parse(text), whole)
  } catch {
    // HTML, or cut short: the status says enough.
    return NOTHING
  } finally {
    clearTimeout(late)
  }
}

type Members = Readonly<Record<string, unknown>>

function fromJson(body: Members, whole: boolean): Detail {
  if (!Array.isArray(body.errors)) return { ...NOTHING, text: printable(messageOf(body), 200) }
  const errors = (body.errors.slice(0, 3) as (Members | null)[]).map((error) => error ?? {})
  const code = errors[0]?.code
  const text = errors.map((error) => errorText(error, whole)).filter(Boolean)
  return { code: typeof code === 'string' ? code : undefined, text: printable(text.join('; '), 600) }
}

function errorText({ code, message, detail }: Members, whole: boolean): string {
  const text = [code, message].filter((part) => typeof part === 'string' && part !== '').join(': ')
  if (!whole || detail === undefined || detail === null || detail === '') return text
  return `${text} (${printable(typeof detail === 'string' ? detail : JSON.stringify(detail), 300)})`.trim()
}

/** As token servers and others than registries have it. */
function messageOf(body: Members): string {
  const values = ['message', 'error_description', 'error', 'details', 'detail'].map((name) => body[name])
  return values.find((value): value is string => typeof value === 'string' && value !== '') ?? ''
}
