import type { BuildEvent } from '../base/events.ts'
import { base64, location } from './location.ts'

type Warning = Extract<BuildEvent, { type: 'warning' }>

/** `buildx.build.warnings` of `--metadata-file`, which BUILDX_METADATA_WARNINGS=1 asks for: client.VertexWarning of BuildKit, without its vertex. */
export function metadataWarnings(warnings: readonly Warning[], env: NodeJS.ProcessEnv): Readonly<Record<string, unknown>> {
  const found = warnings.filter(({ span }) => span !== undefined)
  if (found.length === 0 || !/^(?:1|t|true)$/i.test(env.BUILDX_METADATA_WARNINGS ?? '')) return {}
  return { 'buildx.build.warnings': found.map(vertexWarning) }
}

function vertexWarning({ rule, message, detail, url, span }: Warning): object {
  const bytes = (text: string) => Buffer.from(text).toString('base64')
  return {
    level: 1,
    short: bytes(`${rule}: ${message}${span === undefined ? '' : ` (line ${span.start.line})`}`),
    ...(detail === undefined ? {} : { detail: [bytes(detail)] }),
    ...(url === undefined ? {} : { url }),
    ...(span === undefined
      ? {}
      : {
          sourceInfo: { filename: span.file.name, data: base64(span.file), language: 'Dockerfile' },
          range: location(span).ranges,
        }),
  }
}
