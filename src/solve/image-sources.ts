import type { BuildOptions } from '../build-options.ts'
import { ociLayoutSource } from '../registry/oci-layout.ts'
import type { ImageSource } from '../registry/types.ts'
import type { Store } from '../store/store.ts'
import type { ImageSources } from './images.ts'

/** Where this build's images come from; each is loaded at its first use. */
export function imageSources(options: BuildOptions, store: Store): ImageSources {
  return {
    registry: lazily(async () => (await import('../registry/pull.ts')).registrySource({ blobs: store.blobs })),
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
