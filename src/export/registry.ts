import { countBytes } from '../base/count-bytes.ts'
import type { Image } from '../image/types.ts'
import type { Registries } from '../sources/registry/open.ts'
import type { PushBlob } from '../sources/registry/push.ts'
import type { Bytes } from '../store/types.ts'
import { parseImageReference, repositoryIn } from '../values/image-reference.ts'
import type { Descriptor } from '../values/oci.ts'
import { type Content, type ContentBlob, collectContent, type Exported, type ExportOptions } from './content.ts'

export interface PushOptions extends ExportOptions {
  /** Full references; each is pushed. */
  readonly names: readonly string[]
  /** The top document gets no tag. */
  readonly byDigest?: boolean
  /** TLS unverified, then none. */
  readonly insecure?: boolean
  readonly registries: Registries
  readonly signal: AbortSignal
  /** A promise is waited for. */
  readonly onProgress?: (item: string, current: number, total: number, done: boolean) => unknown
}

/** `push=true`: an image, or several as an index, to the registry of each name. What the registry has is not sent, nor even fetched for it. */
export async function exportToRegistry(images: readonly Image[], options: PushOptions): Promise<Exported> {
  const [content, { pushImage }] = await Promise.all([
    collectContent(images, { ...options, form: { ...options.form, lazy: true } }),
    import('../sources/registry/push.ts'),
  ])
  const client = await options.registries.client()
  const source = new Source(options)
  try {
    for (const name of options.names) {
      const reference = parseImageReference(name)
      const { tag: _tag, ...untagged } = reference
      await pushImage(client, {
        reference: options.byDigest === true ? untagged : reference,
        blobs: pushBlobs(content, reference.domain, source),
        documents: content.documents,
        insecure: options.insecure === true,
        signal: source.signal,
        onBlob: ({ digest, size }) => options.onProgress?.(digest, size, size, true),
      })
    }
  } catch (error) {
    source.signal.throwIfAborted()
    throw error
  }
  return content.exported
}

/** Without the documents, which follow when all blobs are there. */
function pushBlobs(content: Content, domain: string, source: Source): PushBlob[] {
  const documents = new Set(content.documents.map(({ descriptor }) => descriptor.digest))
  return content.blobs
    .filter(({ digest }) => !documents.has(digest))
    .map((blob) => {
      const descriptor: Descriptor = { mediaType: 'application/octet-stream', digest: blob.digest, size: blob.size }
      const from = repositoryIn(domain, blob.origin)
      return { descriptor, open: () => source.bytes(blob), ...(from === undefined ? {} : { from }) }
    })
}

/**
 * The blobs as they are read. One that cannot be (it was altered, the disk fails) ends the push, and is the reason: uploads that are cut off for it know no
 * more than that, and to the client an error of the disk looks like one of the network.
 */
class Source {
  readonly #stop = new AbortController()
  readonly #options: PushOptions
  readonly signal: AbortSignal

  constructor(options: PushOptions) {
    this.#options = options
    this.signal = AbortSignal.any([options.signal, this.#stop.signal])
  }

  async *bytes({ digest, size, content }: ContentBlob): Bytes {
    try {
      const report = (current: number) => this.#options.onProgress?.(digest, current, size, false)
      yield* countBytes(content instanceof Uint8Array ? [content] : content.open(), report, this.signal)
    } catch (error) {
      this.#stop.abort(error)
      throw error
    }
  }
}
