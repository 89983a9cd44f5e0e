import type { BuildEvent } from '../../base/events.ts'
import { formatPlace } from '../../base/span.ts'
import { oneLine } from '../text.ts'

type Warning = Extract<BuildEvent, { type: 'warning' }>

/** `- LegacyKeyValueFormat: message (Dockerfile:3:1)` for each, under a line with their number. */
export function warningLines(warnings: readonly Warning[]): string[] {
  if (warnings.length === 0) return []
  const head = warnings.length === 1 ? '1 warning found:' : `${warnings.length} warnings found:`
  return [
    head,
    ...warnings.map((warning) => {
      const place = warning.span ? ` (${oneLine(formatPlace(warning.span))})` : ''
      return ` - ${oneLine(warning.rule)}: ${oneLine(warning.message)}${place}`
    }),
  ]
}
