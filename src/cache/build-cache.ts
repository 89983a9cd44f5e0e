import { destinationError } from '../base/destination-error.ts'
import type { Progress } from '../base/events.ts'
import { runVertex } from '../base/run-vertex.ts'
import type { CacheExportSpec, CacheImportSpec } from '../build-options.ts'
import { ALL_FILES } from '../caller/caller.ts'
import { filled } from '../caller/sinks.ts'
import { INLINE_CACHE, toImage } from '../image/assemble.ts'
import type { Image } from '../image/types.ts'
import type { BlobForm } from '../layers/types.ts'
import { type CacheBackend, localBackend, missingBackend, registryBackend } from './backends.ts'
import type { NodeGraph } from './buildkit/nodes.ts'
import { cacheManifest } from './cache-manifest.ts'
import { type BuiltSteps, type ExportDeps, exportSteps } from './exports.ts'
import { Imports } from './imports.ts'
import type { CacheOptions, CacheSession } from './session.ts'
import { StepContents } from './step-contents.ts'
import { stepNodes } from './step-nodes.ts'

type Destination = Exclude<CacheExportSpec, { readonly type: 'inline' }>

/** Does work on what was built, and once more when a source of layers turned out to be wrong meanwhile: then less is known of that. */
type Retry = <T>(work: () => Promise<T>) => Promise<T>

/** The caches that one build takes from elsewhere and leaves elsewhere. */
export class BuildCache {
  /** Asked for steps that the store does not have. */
  readonly imports: Imports
  readonly #options: CacheOptions
  readonly #progress: Progress
  readonly #deps: ExportDeps
  readonly #session: CacheSession

  private constructor(options: CacheOptions, progress: Progress, deps: ExportDeps, imports: Imports, session: CacheSession) {
    this.imports = imports
    this.#options = options
    this.#progress = progress
    this.#deps = deps
    this.#session = session
  }

  static async open(options: CacheOptions, session: CacheSession, progress: Progress): Promise<BuildCache> {
    const nodes: NodeGraph = stepNodes(session, progress)
    const contents = new StepContents(session, progress.signal)
    const backends = await Promise.all((options.cacheFrom ?? []).map((spec) => importBackend(spec, session, progress.signal)))
    const imports = await Imports.load(backends, { ...progress, session, nodes, contents })
    // Of its own: what was read to find steps may be others than what they were made of since.
    return new BuildCache(options, progress, { nodes, contents: contents.refreshed(), layers: session.layers }, imports, session)
  }

  /** Gives an image with the cache of its own steps in its config, when that was asked for. Several images of the same steps have the same records. */
  inliner(built: BuiltSteps): (image: Image) => Promise<Image> {
    if (this.#options.cacheTo?.some(({ type }) => type === 'inline') !== true) return async (image) => image
    let exported: ReturnType<typeof exportSteps> | undefined
    return async (image) => {
      exported ??= exportSteps(built, { mode: 'min', form: {}, by: 'diffId' }, this.#deps)
      const { writer } = await exported
      const records = writer.inline(image.layers.map(({ diffId }) => diffId))
      const member = Buffer.from(records).toString('base64')
      return toImage({ ...image.configFile, [INLINE_CACHE]: member }, image.platform, image.layers)
    }
  }

  /** After the build: writes every cache of `--cache-to` but an inline one. */
  async finish(built: BuiltSteps, retry: Retry): Promise<void> {
    const destinations = (this.#options.cacheTo ?? []).filter((spec): spec is Destination => spec.type !== 'inline')
    for (const [index, destination] of destinations.entries()) await this.#write(destination, `cache-export-${index + 1}`, built, retry)
  }

  async #write(destination: Destination, id: string, built: BuiltSteps, retry: Retry): Promise<void> {
    const { onEvent, signal } = this.#progress
    const name = `exporting cache to ${destination.type === 'local' ? 'client directory' : 'registry'}`
    try {
      await runVertex(id, name, this.#progress, async () => {
        if (destination.type === 'registry') return this.#put(registryBackendOf(destination, this.#session), destination, built, retry)
        const { dest, tag } = destination
        await filled(this.#session.caller.directorySink(dest, signal), ({ path }) => {
          const put = this.#put(localBackend(path, { name: dest, tag }), destination, built, retry)
          return put.catch((error: unknown) => Promise.reject(destinationError(error, path)))
        })
      })
    } catch (error) {
      if (signal.aborted || destination.ignoreError !== true) throw error
      const backend = destination.type === 'local' ? destination.dest : registryBackendOf(destination, this.#session).name
      const message = `the cache was not exported to ${backend}: ${(error as Error).message}`
      onEvent({ type: 'warning', rule: 'CacheExport', message })
    }
  }

  #put(backend: CacheBackend, destination: Destination, built: BuiltSteps, retry: Retry): Promise<void> {
    const { signal } = this.#progress
    const extent = { mode: destination.mode ?? 'min', form: formOf(destination), by: 'blob' } as const
    return retry(async () => {
      const exported = await exportSteps(built, extent, this.#deps)
      await backend.put(cacheManifest(exported, destination), { signal, isDamaged: this.imports.damaged.has(backend.name) })
    })
  }
}

async function importBackend(spec: CacheImportSpec, session: CacheSession, signal: AbortSignal): Promise<CacheBackend> {
  if (spec.type === 'registry') return registryBackendOf(spec, session)
  const directory = await session.caller.directory(spec.src, ALL_FILES, signal)
  return typeof directory === 'string' ? missingBackend(spec.src) : localBackend(directory.path, { ...spec, name: spec.src })
}

function registryBackendOf(
  { ref, insecure }: { readonly ref: string; readonly insecure?: boolean },
  { registries }: CacheSession,
): CacheBackend {
  return registryBackend(ref, registries, insecure)
}

function formOf({ compression, compressionLevel: level, forceCompression: force }: Destination): BlobForm {
  return { ...(compression === undefined ? {} : { compression }), ...(level === undefined ? {} : { level }), ...(force ? { force } : {}) }
}
