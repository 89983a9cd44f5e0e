import { TbuildError } from '../../base/errors.ts'
import type { ImageRecord, LayerId } from '../../store/types.ts'
import { storeRoot } from '../../this-machine/store-root.ts'
import { ThisMachine } from '../../this-machine/this-machine.ts'
import { familiarName } from '../../values/image-reference.ts'
import type { ImageConfigFile } from '../../values/oci.ts'

/** What the read-only commands need of a store. */
export interface StoreView {
  images(): Promise<ImageRecord[]>
  config(record: ImageRecord): Promise<ImageConfigFile>
  /** Bytes of a layer's files; undefined when not known. */
  layerSize(id: LayerId): number | undefined
}

/** One image of the store and all its names. */
export interface NamedImage {
  readonly record: ImageRecord
  readonly names: readonly string[]
}

/** A config is small; this bounds what a damaged store can make us read. */
const MAX_CONFIG = 8 * 1024 * 1024

/** Opens the store, hands a view of it to `use`, and lets go of it. */
export async function withStore<T>(root: string | undefined, env: NodeJS.ProcessEnv, use: (view: StoreView) => Promise<T>): Promise<T> {
  const { openStore } = await import('../../store/store.ts')
  const store = await openStore(storeRoot(root, new ThisMachine({ environment: env })))
  try {
    return await use({
      images: () => store.images.list(),
      config: async (record) => JSON.parse((await store.blobs.read(record.config, MAX_CONFIG)).toString('utf8')) as ImageConfigFile,
      layerSize: (id) => store.layers.info(id)?.tarSize,
    })
  } finally {
    await store.close()
  }
}

/** By name (`busybox`, `busybox:latest`, `docker.io/library/busybox:latest`) or by the beginning of its id. */
export async function findImage(view: Pick<StoreView, 'images'>, wanted: string): Promise<NamedImage> {
  const records = await view.images()
  const name = familiarName(wanted)
  const byName = records.find((record) => familiarName(record.name) === name)
  const hex = wanted.replace(/^sha256:/, '')
  const byId = /^[0-9a-f]{4,64}$/.test(hex) ? records.filter((record) => record.config.slice('sha256:'.length).startsWith(hex)) : []
  const ids = new Set(byId.map((record) => record.config))
  if (byName === undefined && ids.size > 1) {
    throw new TbuildError('IMAGE_AMBIGUOUS', `more than one image begins with ${wanted}`, { hint: 'give more digits of the id' })
  }
  const record = byName ?? byId[0]
  if (record === undefined) {
    throw new TbuildError('IMAGE_NOT_FOUND', `no such image in the store: ${wanted}`, { hint: '`tbuild images` lists what is there' })
  }
  const names = records.filter((other) => other.config === record.config).map((other) => familiarName(other.name))
  return { record, names }
}
