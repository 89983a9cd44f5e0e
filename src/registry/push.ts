import type { Digest } from '../base/digest.ts'
import { TbuildError } from '../base/errors.ts'
import type { ImageReference } from '../base/image-reference.ts'
import type { Descriptor } from '../base/oci.ts'
import type { Bytes } from '../store/types.ts'
import { digestMismatch, type RegistryClient, type Repository, resolveLocation } from './client.ts'
import { redirectProblem } from './origin.ts'
import { badRedirect } from './registry-error.ts'

/** A blob to be in the repository; `open` may be called again when an upload is repeated. */
export interface PushBlob {
  readonly descriptor: Descriptor
  readonly open: () => Bytes
  /** Repository of the same registry that already has it: mounted instead of sent. */
  readonly from?: string
}

/** A manifest or index, its exact bytes. */
export interface PushDocument {
  readonly descriptor: Descriptor
  readonly bytes: Buffer
}

export interface PushRequest {
  readonly reference: ImageReference
  readonly blobs: readonly PushBlob[]
  /** In order: manifests before the index that names them. The last one gets the tag. */
  readonly documents: readonly PushDocument[]
  readonly signal?: AbortSignal
  readonly onBlob?: (descriptor: Descriptor, outcome: 'exists' | 'mounted' | 'sent') => void
}

/** Uploads at once to one registry. */
const PARALLEL = 4

/** Puts an image (or an index of images) into a registry: blobs first, then documents, the tag last, so that a tag never names what is not whole. */
export async function pushImage(client: RegistryClient, request: PushRequest): Promise<{ digest: Digest }> {
  const { reference, documents, signal } = request
  const top = documents.at(-1)
  if (top === undefined) throw new TbuildError('PUSH_EMPTY', 'nothing to push', { hint: 'give at least one manifest' })
  const from = request.blobs.find((blob) => blob.from !== undefined)?.from
  const repository = client.repository(reference.domain, reference.path, 'pull,push', from)
  await inParallel(PARALLEL, uniqueBlobs(request.blobs), async (blob) => {
    const outcome = await pushBlob(repository, blob, signal)
    request.onBlob?.(blob.descriptor, outcome)
  })
  for (const document of documents.slice(0, -1)) await putDocument(repository, document, document.descriptor.digest, signal)
  await putDocument(repository, top, reference.tag ?? top.descriptor.digest, signal)
  return { digest: top.descriptor.digest }
}

function uniqueBlobs(blobs: readonly PushBlob[]): PushBlob[] {
  return [...new Map(blobs.map((blob) => [blob.descriptor.digest, blob])).values()]
}

/** `width` workers take from one list; the first failure ends the others after their current item. */
async function inParallel<T>(width: number, items: readonly T[], work: (item: T) => Promise<void>): Promise<void> {
  const queue = [...items]
  const worker = async () => {
    for (let item = queue.shift(); item !== undefined; item = queue.shift()) {
      await work(item).catch((error: unknown) => {
        queue.length = 0
        throw error
      })
    }
  }
  const results = await Promise.allSettled(Array.from({ length: Math.min(width, items.length) }, worker))
  const failed = results.find((result) => result.status === 'rejected')
  if (failed) throw failed.reason
}

async function pushBlob(repository: Repository, blob: PushBlob, signal?: AbortSignal): Promise<'exists' | 'mounted' | 'sent'> {
  const { digest } = blob.descriptor
  if (await repository.hasBlob(digest, signal)) return 'exists'
  const query = blob.from === undefined ? '' : `?mount=${encodeURIComponent(digest)}&from=${encodeURIComponent(blob.from)}`
  const started = await repository.send({ method: 'POST', path: `blobs/uploads/${query}`, headers: { 'content-length': '0' }, signal })
  started.body.resume()
  if (started.status === 201) return 'mounted'
  const location = uploadUrl(started.header('location'), started.url, repository)
  await upload(repository, location, blob, signal)
  return 'sent'
}

/** CVE-2026-50151: an upload URL of another origin gets no credentials (the client sees to it), and some it may not name at all. */
function uploadUrl(location: string | undefined, from: URL, repository: Repository): URL {
  const url = location === undefined ? undefined : resolveLocation(location, from)
  const problem = url === undefined ? 'it is not a URL' : redirectProblem(from, url)
  if (url === undefined || problem !== undefined) throw badRedirect(`${repository.name}: push`, from, location ?? '', problem ?? '')
  return url
}

/** POST then PUT with the whole blob; a registry that does not take that (405, 501) is given one PATCH, then an empty PUT. */
async function upload(repository: Repository, location: URL, blob: PushBlob, signal?: AbortSignal): Promise<void> {
  const { digest, size } = blob.descriptor
  const headers = { 'content-type': 'application/octet-stream', 'content-length': String(size) }
  const whole = await repository.send({
    method: 'PUT',
    path: withDigest(location, digest),
    headers,
    body: blob.open,
    signal,
    accept: [405, 501],
  })
  whole.body.resume()
  if (whole.status < 300) return
  const chunk = { ...headers, ...(size > 0 ? { 'content-range': `0-${size - 1}` } : {}) }
  const patched = await repository.send({ method: 'PATCH', path: location, headers: chunk, body: blob.open, signal })
  patched.body.resume()
  const end = uploadUrl(patched.header('location') ?? location.href, patched.url, repository)
  const done = await repository.send({ method: 'PUT', path: withDigest(end, digest), headers: { 'content-length': '0' }, signal })
  done.body.resume()
}

/** The location's own query is kept: it holds the state of the upload. */
function withDigest(location: URL, digest: Digest): URL {
  const url = new URL(location)
  url.searchParams.set('digest', digest)
  return url
}

async function putDocument(repository: Repository, document: PushDocument, identifier: string, signal?: AbortSignal): Promise<void> {
  const { descriptor, bytes } = document
  const headers = { 'content-type': descriptor.mediaType, 'content-length': String(bytes.length) }
  const response = await repository.send({ method: 'PUT', path: `manifests/${identifier}`, headers, body: () => bytes, signal })
  response.body.resume()
  const stored = response.header('docker-content-digest')
  if (stored !== undefined && stored !== descriptor.digest) throw digestMismatch(`${repository.name}: push`, descriptor.digest, stored)
}
