import type { Digest } from '../base/digest.ts'
import { TbuildError } from '../base/errors.ts'
import type { Annotation } from '../build-options.ts'
import { escapeLikeGo } from '../go/json.ts'
import { annotationsMember, type Document, type ManifestFormat, makeIndex, makeManifest } from '../image/manifest.ts'
import type { Image } from '../image/types.ts'
import { ofEach } from '../layers/packing.ts'
import type { BlobForm } from '../layers/types.ts'
import type { StoredContent } from '../tar/archive.ts'
import { type Descriptor, MediaType, REF_NAME } from '../values/oci.ts'
import { annotationsOf } from './annotations.ts'

export interface ExportOptions {
  /** Full references: docker.io/library/app:1. */
  readonly names?: readonly string[]
  /** Media types; default oci (I12). */
  readonly format?: ManifestFormat
  readonly form?: BlobForm
  /** `org.opencontainers.image.created` of the index entries, RFC 3339. */
  readonly created?: string
  readonly annotations?: readonly Annotation[]
  /** An index also of one platform. */
  readonly index?: boolean
}

/** What an export made. `descriptor` is of the manifest, or of the index when there are several platforms, with the annotations that belong to it. */
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
  /** The image that it is the original layer of (LayerBlob.origin). */
  readonly origin?: string
  readonly content: Uint8Array | StoredContent
}

/** Everything that an image layout holds, blobs sorted by digest. */
export interface Content {
  readonly blobs: readonly ContentBlob[]
  /** The entries of index.json: one a name, or one without a name. */
  readonly entries: readonly Descriptor[]
  /** Manifests, then the index that names them, if there is one. They are among the blobs, too. */
  readonly documents: readonly Document[]
  /** Layer blobs of each image, bottom first. */
  readonly layers: readonly (readonly Descriptor[])[]
  readonly exported: Exported
}

/** Manifests over the images' layers; blobs are made here when they are not there yet. */
export async function collectContent(images: readonly Image[], options: ExportOptions): Promise<Content> {
  const [first] = images
  if (first === undefined) throw new TbuildError('EXPORT_EMPTY', 'there is no image to export')
  const blobs = new Map<Digest, ContentBlob>()
  const documents: Document[] = []
  const layers: Descriptor[][] = []
  const indexed = images.length > 1 || options.index === true
  for (const image of images) {
    const own = await ofEach(image.layers, (layer) => layer.blob(options.form))
    for (const blob of own) {
      const { digest, size } = blob.descriptor
      blobs.set(digest, { digest, size, content: blob, ...(blob.origin === undefined ? {} : { origin: blob.origin }) })
    }
    blobs.set(image.configDigest, { digest: image.configDigest, size: image.config.length, content: image.config })
    const descriptors = own.map((blob) => blob.descriptor)
    documents.push(manifestOf(image, descriptors, options, indexed))
    layers.push(descriptors)
  }
  if (indexed) documents.push(indexOf(documents, options))
  for (const { bytes, descriptor } of documents) {
    blobs.set(descriptor.digest, { digest: descriptor.digest, size: bytes.length, content: bytes })
  }
  const { descriptor } = documents.at(-1) as Document
  const sorted = [...blobs.values()].sort((a, b) => (a.digest < b.digest ? -1 : 1))
  return {
    blobs: sorted,
    documents,
    entries: indexEntries(descriptor, options),
    layers,
    exported: {
      ...{ manifestDigest: descriptor.digest, configDigest: first.configDigest },
      descriptor: annotated(descriptor, createdAnnotation(options)),
      size: sorted.reduce((sum, blob) => sum + blob.size, 0),
    },
  }
}

/** Without an index BuildKit passes over annotations of one platform, even of the image's own. */
function manifestOf(image: Image, layers: readonly Descriptor[], options: ExportOptions, indexed: boolean): Document {
  const platform = indexed ? image.platform : undefined
  const annotations = annotationsOf(options.annotations, 'manifest', platform)
  const { bytes, descriptor } = makeManifest(image, layers, { ...options, annotations })
  return { bytes, descriptor: annotated(descriptor, annotationsOf(options.annotations, 'manifest-descriptor', platform)) }
}

function indexOf(manifests: readonly Document[], options: ExportOptions): Document {
  const { bytes, descriptor } = makeIndex(
    manifests.map((manifest) => manifest.descriptor),
    { ...options, annotations: annotationsOf(options.annotations, 'index') },
  )
  return { bytes, descriptor: annotated(descriptor, annotationsOf(options.annotations, 'index-descriptor')) }
}

/** With more annotations; members in the order of OCI's struct. */
function annotated({ platform, annotations, ...descriptor }: Descriptor, more: Readonly<Record<string, string>>): Descriptor {
  return { ...descriptor, ...annotationsMember({ ...annotations, ...more }), ...(platform === undefined ? {} : { platform }) }
}

function createdAnnotation({ created }: ExportOptions): Record<string, string> {
  return created === undefined ? {} : { 'org.opencontainers.image.created': created }
}

/** As BuildKit's OCI exporter annotates them. */
function indexEntries(descriptor: Descriptor, options: ExportOptions): Descriptor[] {
  const created = createdAnnotation(options)
  if (options.names === undefined || options.names.length === 0) return [annotated(descriptor, created)]
  return options.names.map((name) => {
    const tag = tagOf(name)
    return annotated(descriptor, {
      'io.containerd.image.name': name,
      ...created,
      ...(tag === undefined ? {} : { [REF_NAME]: tag }),
    })
  })
}

/** `1` of docker.io/library/app:1. */
function tagOf(name: string): string | undefined {
  return /:([\w][\w.-]{0,127})$/.exec(name)?.[1]
}

export function indexFile(entries: readonly Descriptor[]): Buffer {
  return Buffer.from(escapeLikeGo(JSON.stringify({ schemaVersion: 2, mediaType: MediaType.ociIndex, manifests: entries })))
}
