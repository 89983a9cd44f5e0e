import type { ResolvedOptions } from '../build-options.ts'
import { checkOutputs } from '../export/check.ts'
import { parseTags } from '../export/tag.ts'
import { platformsOf } from '../solve/platforms.ts'

/** The full references of `-t`; refuses tags and outputs that are none, before anything is opened for them. */
export function checkedNames(options: ResolvedOptions): readonly string[] {
  const names = parseTags(options.tags ?? [])
  checkOutputs(options, platformsOf(options), names)
  return names
}
