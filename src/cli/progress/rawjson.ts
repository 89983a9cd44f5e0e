import type { BuildEvent } from '../../base/events.ts'
import type { Span } from '../../base/span.ts'
import type { Display, Screen } from './types.ts'

/** The event stream, one JSON object a line (docs/rawjson.md). */
export function rawjsonDisplay(screen: Screen): Display {
  return {
    event(event) {
      screen.write(`${JSON.stringify(plainEvent(event))}\n`)
    },
    close() {},
  }
}

/** The event as JSON can carry it: a span without the text of its file, output as a string when it is UTF-8 and in base64 otherwise. */
export function plainEvent(event: BuildEvent): Record<string, unknown> {
  if (event.type === 'log') {
    const { data, ...rest } = event
    const bytes = Buffer.from(data.buffer, data.byteOffset, data.byteLength)
    const text = bytes.toString('utf8')
    return Buffer.from(text, 'utf8').equals(bytes) ? { ...rest, data: text } : { ...rest, base64: bytes.toString('base64') }
  }
  if ((event.type === 'vertex' || event.type === 'warning' || event.type === 'error') && event.span)
    return { ...event, span: plainSpan(event.span) }
  return { ...event }
}

function plainSpan(span: Span): Record<string, unknown> {
  return { file: span.file.name, start: span.start, end: span.end }
}
