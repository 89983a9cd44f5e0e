import type { Digest } from '../base/digest.ts'
import { TbuildError } from '../base/errors.ts'
import { escapeLikeGo } from '../base/go-json.ts'
import { type Descriptor, MediaType } from '../base/oci.ts'
import { type ManifestFormat, makeIndex, makeManifest } from '../image/manifest.ts'
import type { BlobForm, Image } from '../image/types.ts'
import type { Bytes } from '../store/types.ts'

export interface ExportOptions {
  /** Full references: docker.io/library/app:1. */
  readonly names?: readonly string[]
  /** Media types; default oci (I12). */
  readonly format?: ManifestFormat
  readonly form?: BlobForm
  /** `org.opencontainers.image.created` of the index entries, RFC 3339. */
  readonly created?: string
  /** Annotations of the manifest. */
  readonly annotations?: Readonly<Record<string, string>>
}

/** What an export made. `descriptor` is of the manifest, or of the index when there are several platforms. */
export interface Exported {
  readonly manifestDigest: Digest
  /** Of the only, or the first, image. */
  readonly configDigest: Digest
  readonly descriptor: Descriptor
  /** Bytes of all blobs. */
  readonly size: number
}

export interface ContentBlob {
  readonly digest: Digest
  readonly size: number
  open(): Bytes | Uint8Array
}

/** Everything that an image layout holds, blobs sorted by digest. */
export interface Content {
  readonly blobs: readonly ContentBlob[]
  /** The entries of index.json: one a name, or one without a name. */
  readonly entries: readonly Descriptor[]
  /** Layer blobs of each image, bottom first. */
  readonly layers: readonly (readonly Descriptor[])[]
  readonly exported: Exported
}

/** Manifests over the images' layers; blobs are made here when they are not there yet. */
export async function collectContent(images: readonly Image[], options: ExportOptions): Promise<Content> {
  const [first] = images
  if (first === undefined) throw new TbuildError('EXPORT_EMPTY', 'there is no image to export')
  const blobs = new Map<Digest, ContentBlob>()
  const add = (digest: Digest, size: number, open: () => Bytes | Uint8Array) => blobs.set(digest, { digest, size, open })
  const manifests: Descriptor[] = []
  const layers: Descriptor[][] = []
  for (const image of images) {
    const own = await Promise.all(image.layers.map((layer) => layer.blob(options.form)))
    for (const { descriptor, open } of own) add(descriptor.digest, descriptor.size, open)
    const { bytes, descriptor } = makeManifest(
      image,
      own.map((blob) => blob.descriptor),
      options,
    )
    add(image.configDigest, image.config.length, () => image.config)
    add(descriptor.digest, bytes.length, () => bytes)
    manifests.push(descriptor)
    layers.push(own.map((blob) => blob.descriptor))
  }
  let descriptor = manifests[0] as Descriptor
  if (images.length > 1) {
    const index = makeIndex(manifests, options)
    descriptor = index.descriptor
    add(descriptor.digest, index.bytes.length, () => index.bytes)
  }
  const sorted = [...blobs.values()].sort((a, b) => (a.digest < b.digest ? -1 : 1))
  const size = sorted.reduce((sum, blob) => sum + blob.size, 0)
  return {
    blobs: sorted,
    entries: indexEntries(descriptor, options),
    layers,
    exported: { manifestDigest: descriptor.digest, configDigest: first.configDigest, descriptor, size },
  }
}

/** As BuildKit's OCI exporter annotates them; keys sorted as in a Go map, members in the order of OCI's struct. */
function indexEntries({ platform, ...descriptor }: Descriptor, options: ExportOptions): Descriptor[] {
  const created = options.created === undefined ? {} : { 'org.opencontainers.image.created': options.created }
  const entry = (annotations: Record<string, string>): Descriptor => ({
    ...descriptor,
    ...(Object.keys(annotations).length === 0 ? {} : { annotations }),
    ...(platform === undefined ? {} : { platform }),
  })
  if (options.names === undefined || options.names.length === 0) return [entry(created)]
  return options.names.map((name) => {
    const tag = tagOf(name)
    return entry({
      'io.containerd.image.name': name,
      ...created,
      ...(tag === undefined ? {} : { 'org.opencontainers.image.ref.name': tag }),
    })
  })
}

/** `1` of docker.io/library/app:1. */
export function tagOf(name: string): string | undefined {
  return /:([\w][\w.-]{0,127})$/.exec(name)?.[1]
}

export const LAYOUT_FILE = Buffer.from('{"imageLayoutVersion":"1.0.0"}')

export function indexFile(entries: readonly Descriptor[]): Buffer {
  return Buffer.from(escapeLikeGo(JSON.stringify({ schemaVersion: 2, mediaType: MediaType.ociIndex, manifests: entries })))
}
