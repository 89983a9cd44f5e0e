import type { ImageConfigFile } from '../../values/oci.ts'
import type { Io } from '../io.ts'
import type { ListFlags } from '../program.ts'
import { findImage, type NamedImage, withStore } from './store.ts'

/** `tbuild inspect IMAGE` */
export async function inspectCommand(wanted: string, flags: ListFlags, io: Io): Promise<number> {
  const text = await withStore(flags.root, io.env, async (view) => {
    const image = await findImage(view, wanted)
    if (flags.quiet) return image.record.config
    return JSON.stringify([inspection(image, await view.config(image.record))], null, 4)
  })
  io.stdout.write(`${text}\n`)
  return 0
}

/** The members of `docker image inspect` that an image without a daemon has. */
export function inspection({ record, names }: NamedImage, config: ImageConfigFile): Record<string, unknown> {
  return {
    Id: record.config,
    RepoTags: names,
    Created: config.created ?? record.created,
    Author: config.author ?? '',
    Architecture: config.architecture,
    ...(config.variant === undefined ? {} : { Variant: config.variant }),
    Os: config.os,
    Size: record.size,
    Config: config.config ?? {},
    RootFS: { Type: 'layers', Layers: config.rootfs.diff_ids },
  }
}
