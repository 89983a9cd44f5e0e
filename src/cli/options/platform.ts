import { formatPlatform, hostPlatform, type Platform, parsePlatform } from '../../values/platform.ts'

/** `--platform LIST…`, else DOCKER_DEFAULT_PLATFORM; `local` is this machine's. None is given twice. */
export function platforms(values: readonly string[], environment: NodeJS.ProcessEnv): Platform[] {
  const fallback = environment.DOCKER_DEFAULT_PLATFORM
  const texts = values.length === 0 && fallback ? [fallback] : values
  const found = texts.flatMap((value) => value.split(',')).map((text) => (text === 'local' ? hostPlatform() : parsePlatform(text)))
  return [...new Map(found.map((platform) => [formatPlatform(platform), platform])).values()]
}
