import { suggestion } from '../../base/suggest.ts'
import type { Annotation, AnnotationLevel } from '../../build-options.ts'
import { parsePlatform } from '../../values/platform.ts'
import { usage } from '../usage.ts'

const LEVELS: readonly AnnotationLevel[] = ['manifest', 'manifest-descriptor', 'index', 'index-descriptor']

/** `index` or `manifest[linux/arm64]`. */
const TARGET = /^([a-z-]+)(?:\[([A-Za-z0-9_/-]+)\])?$/

/** `--annotation [LEVEL[PLATFORM][,LEVEL[PLATFORM]…]:]KEY=VALUE` as buildx reads it; the level is the manifest unless it is said. */
export function annotations(values: readonly string[]): Annotation[] {
  return values.flatMap((text) => {
    const equals = text.indexOf('=')
    if (equals === -1) throw usage(`invalid annotation ${JSON.stringify(text)}: expected KEY=VALUE`)
    const value = text.slice(equals + 1)
    const written = text.slice(0, equals)
    const colon = written.indexOf(':')
    const key = written.slice(colon + 1)
    // BuildKit drops what has such a key without a word.
    if (!/^\S+$/.test(key)) throw usage(`invalid annotation ${JSON.stringify(text)}: the key is ${key === '' ? 'empty' : 'not one word'}`)
    if (colon === -1) return [{ level: 'manifest' as const, key, value }]
    return written
      .slice(0, colon)
      .split(',')
      .map((target) => ({ ...parseTarget(target), key, value }))
  })
}

/** Keys of `--output`: `annotation.KEY`, `annotation-index.KEY`, `annotation-manifest[linux/arm64].KEY`; undefined for any other key. */
export function outputAnnotation(name: string, value: string): Annotation | undefined {
  const match = /^annotation(?:-([a-z-]+))?(?:\[([A-Za-z0-9_/-]+)\])?\.(\S+)$/.exec(name)
  if (match === null) return undefined
  const [, level = 'manifest', platform, key = ''] = match
  return { ...target(level, platform), key, value }
}

function parseTarget(text: string): Omit<Annotation, 'key' | 'value'> {
  const match = TARGET.exec(text)
  if (match === null) {
    throw usage(`invalid annotation type ${JSON.stringify(text)}: expected a type and optionally a platform in square brackets`)
  }
  return target(match[1] as string, match[2])
}

function target(level: string, platform: string | undefined): Omit<Annotation, 'key' | 'value'> {
  const known = LEVELS.find((other) => other === level)
  if (known === undefined) {
    const near = suggestion(level, LEVELS)
    throw usage(
      `unknown annotation type ${JSON.stringify(level)}`,
      near === undefined ? `types are ${LEVELS.join(', ')}` : `did you mean ${near}?`,
    )
  }
  return { level: known, ...(platform === undefined ? {} : { platform: parsePlatform(platform) }) }
}
