import { constants } from 'node:fs'
import { type FileHandle, open } from 'node:fs/promises'
import { join } from 'node:path'
import { type Digest, hexOf, isDigest } from '../../base/digest.ts'
import { errorCode, TbuildError } from '../../base/errors.ts'
import { readCapped } from '../../base/read-capped.ts'
import type { CallerDirectory, NoDirectory } from '../../caller/caller.ts'
import { openRegular } from '../../store/regular-file.ts'
import type { Bytes } from '../../store/types.ts'
import { type Descriptor, REF_NAME } from '../../values/oci.ts'
import { CONFIG_LIMIT, MANIFEST_LIMIT, toDescriptor } from '../image/document.ts'
import { resolveImage } from '../image/resolve-image.ts'
import type { ImageSource } from '../image/types.ts'

const SCHEME = 'oci-layout://'

/** `oci-layout://DIR[:tag][@digest]`. */
export interface LayoutReference {
  readonly directory: string
  readonly tag?: string
  readonly digest?: Digest
}

/** Undefined when the text has another scheme. A colon after the last slash starts the tag. */
export function parseLayoutReference(text: string): LayoutReference | undefined {
  if (!text.startsWith(SCHEME)) return undefined
  const match = /^(.*?)(?::([A-Za-z0-9_][A-Za-z0-9_.-]{0,127}))?(?:@([^@/]*))?$/s.exec(text.slice(SCHEME.length))
  const [, directory = '', tag, digest] = match ?? []
  if (directory === '' || directory.includes('\0') || (digest !== undefined && !isDigest(digest))) {
    throw new TbuildError('IMAGE_REFERENCE_INVALID', `invalid OCI layout reference ${JSON.stringify(text)}`, {
      hint: 'write oci-layout://DIRECTORY[:tag][@sha256:digest]',
    })
  }
  return { directory, ...(tag === undefined ? {} : { tag }), ...(digest === undefined ? {} : { digest: digest as Digest }) }
}

/**
 * Images of OCI image layouts in directories of the caller's. Nothing in a layout is trusted: files are opened without following links.
 */
export function ociLayoutSource(open: (name: string) => Promise<CallerDirectory | NoDirectory>): ImageSource {
  return {
    async resolve(text, platform) {
      const reference = parseLayoutReference(text)
      if (reference === undefined)
        throw new TbuildError('IMAGE_NOT_FOUND', `${text} is not an OCI layout`, { hint: 'write oci-layout://DIRECTORY' })
      const directory = await open(reference.directory)
      if (typeof directory === 'string')
        throw directory === 'missing'
          ? refused('IMAGE_NOT_FOUND', `${reference.directory}: not there`)
          : refused('OCI_LAYOUT_INVALID', `${reference.directory}: not a directory`)
      const layout = new Layout(directory.path)
      const root = reference.digest ?? (await layout.find(reference.tag)).digest
      return resolveImage(text, root, platform, {
        manifest: async (digest) => ({ bytes: await layout.read(layout.blobPath(digest), MANIFEST_LIMIT) }),
        config: (descriptor) => layout.read(layout.blobPath(descriptor.digest), CONFIG_LIMIT),
        open: (layer) => layout.stream(layer),
      })
    },
  }
}

class Layout {
  readonly #root: string

  constructor(root: string) {
    this.#root = root
  }

  blobPath(digest: Digest): string {
    return join('blobs/sha256', hexOf(digest))
  }

  /** The entry of a tag (`latest` when none is named), or the only entry there is. */
  async find(tag: string | undefined): Promise<Descriptor> {
    await this.#checkVersion()
    const what = join(this.#root, 'index.json')
    const index = parseObject(await this.read('index.json', MANIFEST_LIMIT), what)
    const list: unknown[] = Array.isArray(index.manifests) ? index.manifests : []
    const entries = list.map((entry) => toDescriptor(entry, what))
    const named = entries.filter((entry) => hasName(entry.annotations?.[REF_NAME], tag ?? 'latest'))
    // As containers and BuildKit do: the last entry of a name is the newest.
    const found = named.at(-1) ?? (tag === undefined && entries.length === 1 ? entries[0] : undefined)
    if (found !== undefined) return found
    const names = entries.map((entry) => entry.annotations?.[REF_NAME]).filter(Boolean)
    throw new TbuildError('IMAGE_NOT_FOUND', `${this.#root} has no image ${tag ?? 'latest'}`, {
      hint: names.length === 0 ? 'name the image by its digest' : `it has ${names.slice(0, 10).join(', ')}`,
    })
  }

  async #checkVersion(): Promise<void> {
    const { imageLayoutVersion } = parseObject(await this.read('oci-layout', 64 * 1024), join(this.#root, 'oci-layout'))
    if (typeof imageLayoutVersion === 'string' && /^1\.\d+\.\d+$/.test(imageLayoutVersion)) return
    throw new TbuildError('MANIFEST_INVALID', `${this.#root} is not an OCI layout of version 1`, {
      hint: 'name a folder with oci-layout and index.json',
    })
  }

  async read(path: string, limit: number): Promise<Buffer> {
    const file = await this.#open(path)
    const bytes = await readCapped(file.createReadStream() as AsyncIterable<Uint8Array>, limit)
    if (bytes !== undefined) return bytes
    throw new TbuildError('MANIFEST_INVALID', `${join(this.#root, path)}: more than ${limit} bytes`, { hint: 'the layout is damaged' })
  }

  async stream(layer: Descriptor): Promise<Bytes> {
    const file = await this.#open(this.blobPath(layer.digest))
    return file.createReadStream({ highWaterMark: 256 * 1024 }) as AsyncIterable<Uint8Array>
  }

  /** ggcr 7f937fe5: a blob that is a link (or a fifo) would read, or wait for, something else of this machine. */
  async #open(path: string): Promise<FileHandle> {
    const full = join(this.#root, path)
    for (const folder of ['blobs', 'blobs/sha256']) if (path.startsWith(folder)) await this.#requireFolder(folder)
    const file = await openRegular(full).catch((error: unknown) => {
      throw this.#unreadable(path, error)
    })
    if (file === undefined) throw this.#unreadable(path, new Error('not a regular file (a symbolic link is not followed)'))
    return file
  }

  async #requireFolder(folder: string): Promise<void> {
    const handle = await open(join(this.#root, folder), constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NOFOLLOW).catch(
      (error: unknown) => {
        throw this.#unreadable(folder, error)
      },
    )
    await handle.close()
  }

  #unreadable(path: string, error: unknown): TbuildError {
    const code = errorCode(error)
    const reason = code === 'ENOENT' ? 'not there' : code === 'ELOOP' ? 'a symbolic link, which is not followed' : (error as Error).message
    return refused(code === 'ENOENT' ? 'IMAGE_NOT_FOUND' : 'OCI_LAYOUT_INVALID', `${this.#root}: ${path}: ${reason}`, error)
  }
}

function refused(code: 'IMAGE_NOT_FOUND' | 'OCI_LAYOUT_INVALID', problem: string, cause?: unknown): TbuildError {
  return new TbuildError(code, `OCI layout ${problem}`, {
    hint: 'check the folder; it must hold oci-layout, index.json and blobs/sha256',
    ...(cause === undefined ? {} : { cause }),
  })
}

/** `bookworm`, or a whole name ending in it, as some tools write ref.name. */
function hasName(name: string | undefined, tag: string): boolean {
  return name === tag || (name?.endsWith(`:${tag}`) ?? false)
}

function parseObject(bytes: Buffer, what: string): Record<string, unknown> {
  try {
    const value = JSON.parse(bytes.toString('utf8')) as unknown
    if (value !== null && typeof value === 'object') return value as Record<string, unknown>
  } catch {
    // Reported below.
  }
  throw new TbuildError('MANIFEST_INVALID', `${what} is not a JSON object`, { hint: 'the layout is damaged' })
}
