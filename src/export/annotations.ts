import type { Annotation, AnnotationLevel } from '../build-options.ts'
import { formatPlatform, type Platform } from '../values/platform.ts'

/** The annotations of one document or descriptor: those of all platforms, then those of its own. */
export function annotationsOf(
  annotations: readonly Annotation[] = [],
  level: AnnotationLevel,
  platform?: Platform,
): Record<string, string> {
  const wanted = platform === undefined ? undefined : formatPlatform(platform)
  const own = annotations.filter((annotation) => annotation.level === level)
  const general = own.filter((annotation) => annotation.platform === undefined)
  const special = own.filter((annotation) => annotation.platform !== undefined && formatPlatform(annotation.platform) === wanted)
  return Object.fromEntries([...general, ...special].map(({ key, value }) => [key, value]))
}
