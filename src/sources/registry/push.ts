import type { Digest } from '../../base/digest.ts'
import { errorCode, TbuildError } from '../../base/errors.ts'
import { redirectProblem } from '../../http/origin.ts'
import { ONCE, withRetry } from '../../http/retry.ts'
import type { HttpResponse } from '../../http/transport.ts'
import type { Bytes } from '../../store/types.ts'
import type { ImageReference } from '../../values/image-reference.ts'
import type { Descriptor } from '../../values/oci.ts'
import { digestMismatch, type RegistryClient, type Repository, type RepositoryRequest, resolveLocation } from './client.ts'
import { badRedirect } from './registry-error.ts'

/** A blob to be in the repository; `open` may be called again when an upload is repeated. */
export interface PushBlob {
  readonly descriptor: Descriptor
  readonly open: () => Bytes
  /** Repository of the same registry that already has it: mounted instead of sent. */
  readonly from?: string
}

/** A manifest or index, its exact bytes. */
interface PushDocument {
  readonly descriptor: Descriptor
  readonly bytes: Buffer
}

export interface PushRequest {
  readonly reference: ImageReference
  readonly blobs: readonly PushBlob[]
  /** In order: manifests before the index that names them. The last one gets the tag. */
  readonly documents: readonly PushDocument[]
  /** TLS unverified, else none. */
  readonly insecure?: boolean
  readonly signal?: AbortSignal
  readonly onBlob?: (descriptor: Descriptor, outcome: 'exists' | 'mounted' | 'sent') => void
}

/** Uploads at once to one registry. */
const PARALLEL = 4

/** To the bytes of an upload: it is unknown, or not where we think it is. */
const LOST = [404, 416]
/** What was sent has not been looked at: the upload is as it was. */
const UNTOUCHED = [429, 503]
/** A repository that may not be read, or is not there. */
const NO_MOUNT = ['REGISTRY_DENIED', 'REGISTRY_REFUSED']

/**
 * Puts an image (or an index of images) into a registry: blobs first, then documents, the tag last, so that a tag never names what is not whole. By the same rule
 * nothing is left to do where the tag names this very document already: that is asked first, by one request.
 */
export async function pushImage(client: RegistryClient, request: PushRequest): Promise<{ digest: Digest }> {
  const { reference, documents, signal } = request
  const top = documents.at(-1)
  if (top === undefined) throw new TbuildError('PUSH_EMPTY', 'nothing to push', { hint: 'give at least one manifest' })
  const { insecure } = request
  const open = (mountFrom?: string) =>
    client.repository(reference.domain, reference.path, {
      actions: 'pull,push',
      insecure,
      ...(mountFrom === undefined ? {} : { mountFrom }),
    })
  const repository = open()
  const blobs = uniqueBlobs(request.blobs)
  const name = reference.tag ?? top.descriptor.digest
  if (await repository.names(name, top.descriptor.digest, signal)) {
    for (const { descriptor } of blobs) request.onBlob?.(descriptor, 'exists')
    return { digest: top.descriptor.digest }
  }
  await inParallel(PARALLEL, blobs, signal, async (blob, both) => {
    const outcome = await pushBlob(repository, open, blob, both)
    request.onBlob?.(blob.descriptor, outcome)
  })
  for (const document of documents.slice(0, -1)) await putDocument(repository, document, document.descriptor.digest, signal)
  await putDocument(repository, top, name, signal)
  return { digest: top.descriptor.digest }
}

function uniqueBlobs(blobs: readonly PushBlob[]): PushBlob[] {
  return [...new Map(blobs.map((blob) => [blob.descriptor.digest, blob])).values()]
}

/** `width` workers take from one list; the first failure ends the others. */
async function inParallel<T>(
  width: number,
  items: readonly T[],
  signal: AbortSignal | undefined,
  work: (item: T, signal: AbortSignal) => Promise<void>,
): Promise<void> {
  const stop = new AbortController()
  const both = signal === undefined ? stop.signal : AbortSignal.any([signal, stop.signal])
  const queue = [...items]
  let failure: { readonly error: unknown } | undefined
  const worker = async () => {
    for (let item = queue.shift(); item !== undefined; item = queue.shift()) {
      try {
        await work(item, both)
      } catch (error) {
        queue.length = 0
        // What the others reject with then is an echo.
        failure ??= { error }
        stop.abort(error)
      }
    }
  }
  await Promise.all(Array.from({ length: Math.min(width, items.length) }, worker))
  if (failure) throw failure.error
}

async function pushBlob(
  repository: Repository,
  open: (mountFrom: string) => Repository,
  blob: PushBlob,
  signal: AbortSignal,
): Promise<'exists' | 'mounted' | 'sent'> {
  const { digest } = blob.descriptor
  if (await repository.hasBlob(digest, signal)) return 'exists'
  const mounted = blob.from === undefined ? undefined : await mount(open(blob.from), digest, blob.from, signal)
  if (mounted === 'mounted') return mounted
  await upload(repository, blob, mounted, signal)
  return 'sent'
}

/** Where to send the blob when the registry has begun an upload in place of the mount; undefined when that may not be read from: it is no reason to fail. */
async function mount(repository: Repository, digest: Digest, from: string, signal: AbortSignal): Promise<'mounted' | URL | undefined> {
  const query = `?mount=${encodeURIComponent(digest)}&from=${encodeURIComponent(from)}`
  try {
    const started = await repository.send({ method: 'POST', path: `blobs/uploads/${query}`, headers: { 'content-length': '0' }, signal })
    started.body.resume()
    return started.status === 201 ? 'mounted' : uploadUrl(started.header('location'), started.url, repository)
  } catch (error) {
    if (!NO_MOUNT.includes(errorCode(error) ?? '')) throw error
    return undefined
  }
}

async function begin(repository: Repository, signal: AbortSignal): Promise<URL> {
  const started = await repository.send({ method: 'POST', path: 'blobs/uploads/', headers: { 'content-length': '0' }, signal })
  started.body.resume()
  return uploadUrl(started.header('location'), started.url, repository)
}

/** CVE-2026-50151: an upload URL of another origin gets no credentials (the client sees to it), and some it may not name at all. */
function uploadUrl(location: string | undefined, from: URL, repository: Repository): URL {
  const url = location === undefined ? undefined : resolveLocation(location, from)
  const problem = url === undefined ? 'it is not a URL' : redirectProblem(from, url)
  if (url === undefined || problem !== undefined) throw badRedirect(`${repository.name}: push`, from, location ?? '', problem ?? '')
  return url
}

/**
 * POST, then PUT with the whole blob. One that ends in the middle begins anew, since nobody knows what the registry has kept of it; so does one that the
 * registry does not know any more, as happens behind a load balancer.
 */
async function upload(repository: Repository, blob: PushBlob, begun: URL | undefined, signal: AbortSignal): Promise<void> {
  let next = begun
  let last: RepositoryRequest = { method: 'PUT', path: 'blobs/uploads/', signal }
  const once = (request: RepositoryRequest) => {
    last = request
    return repository.exchange(request, ONCE)
  }
  const attempt = async () => {
    const location = next ?? (await begin(repository, signal))
    next = undefined
    const response = await putBlob(repository, blob, location, { once, signal })
    if (UNTOUCHED.includes(response.status)) next = location
    return response
  }
  try {
    const response = await withRetry(repository.retry, signal, attempt, LOST)
    const done = await repository.check(last, response)
    done.body.resume()
  } catch (error) {
    throw await repository.unanswered(last, error)
  }
}

interface Sending {
  readonly once: (request: RepositoryRequest) => Promise<HttpResponse>
  readonly signal: AbortSignal
}

/** A registry that does not take the whole blob with a PUT (405, 501) is given one PATCH, then an empty PUT. */
async function putBlob(repository: Repository, blob: PushBlob, location: URL, { once, signal }: Sending): Promise<HttpResponse> {
  const { digest, size } = blob.descriptor
  const headers = { 'content-type': 'application/octet-stream', 'content-length': String(size) }
  const whole = await once({ method: 'PUT', path: withDigest(location, digest), headers, body: blob.open, signal })
  if (whole.status !== 405 && whole.status !== 501) return whole
  whole.body.resume()
  const range = size > 0 ? { 'content-range': `0-${size - 1}` } : {}
  const patched = await once({ method: 'PATCH', path: location, headers: { ...headers, ...range }, body: blob.open, signal })
  if (patched.status >= 300) return patched
  patched.body.resume()
  const end = uploadUrl(patched.header('location') ?? location.href, patched.url, repository)
  return once({ method: 'PUT', path: withDigest(end, digest), headers: { 'content-length': '0' }, signal })
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
