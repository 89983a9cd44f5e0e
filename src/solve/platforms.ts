import type { BuildOptions } from '../build-options.ts'
import { hostPlatform, type Platform } from '../values/platform.ts'

/** What a build makes: an image for each of them. */
export function platformsOf({ platforms }: Pick<BuildOptions, 'platforms'>): readonly Platform[] {
  return platforms ?? [hostPlatform()]
}
