import type { BuildOptions } from '../build-options.ts'
import { ociLayoutSource } from '../registry/oci-layout.ts'
import type { Registries } from '../registry/open.ts'
import type { ImageSource } from '../registry/types.ts'
import type { Store } from '../store/store.ts'
import type { ImageSources } from './images.ts'

/** Where this build's images come from; each is loaded at its first use. */
export function imageSources(options: BuildOptions, store: Store, registries: Registries): ImageSources {
  return {
    registry: lazily(async () => {
      const [{ registrySource }, client] = await Promise.all([import('../registry/pull.ts'), registries.client()])
      return registrySource({ blobs: store.blobs, client })
    }),
    ociLayout: ociLayoutSource(),
    store:
      options.pull === true
        ? undefined
        : lazily(async () => (await import('../registry/store-source.ts')).storeSource(store.images, store.blobs)),
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
