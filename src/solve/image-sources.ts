import type { BuildOptions } from '../build-options.ts'
import { ALL_FILES, type Caller } from '../caller/caller.ts'
import { targetContexts } from '../context/named.ts'
import type { LayerCatalog } from '../layers/types.ts'
import type { ImageSource } from '../sources/image/types.ts'
import { ociLayoutSource } from '../sources/layout/oci-layout.ts'
import type { Registries } from '../sources/registry/open.ts'
import type { Store } from '../store/store.ts'
import type { ImageSources } from './images.ts'

interface Deps {
  readonly store: Store
  readonly registries: Registries
  readonly caller: Caller
  readonly layers: Pick<LayerCatalog, 'where'>
  readonly signal: AbortSignal
}

/** Where this build's images come from; each is loaded at its first use. */
export function imageSources(
  options: Pick<BuildOptions, 'pull' | 'buildContexts'>,
  { store, registries, caller, layers, signal }: Deps,
): ImageSources {
  return {
    registry: lazily(async () => {
      const [{ registrySource }, client] = await Promise.all([import('../sources/registry/pull.ts'), registries.client()])
      return registrySource({ blobs: store.blobs, client })
    }),
    targets: lazily(async () => (await import('./target-source.ts')).targetSource(targetContexts(options.buildContexts ?? {}), layers)),
    ociLayout: ociLayoutSource((name) => caller.directory(name, ALL_FILES, signal)),
    store:
      options.pull === true
        ? undefined
        : lazily(async () => (await import('../sources/layout/store-source.ts')).storeSource(store.images, store.blobs)),
  }
}

function lazily(load: () => Promise<ImageSource>): ImageSource {
  let source: Promise<ImageSource> | undefined
  return {
    async resolve(reference, platform, signal) {
      source ??= load()
      return (await source).resolve(reference, platform, signal)
    },
  }
}
