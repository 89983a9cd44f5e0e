import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { type Digest, isDigest } from '../base/digest.ts'
import { errorCode } from '../base/errors.ts'
import type { StoreLayout } from './layout.ts'
import { ifPresent } from './store-error.ts'
import type { BlobStore } from './types.ts'

/** A manifest of at most this many bytes is looked into, as deep as indexes may nest. */
const MANIFEST_LIMIT = 8 * 1024 * 1024
const DEPTH = 4

/** Digests that index.json of the layout names: other tools may have put images there. */
export function storedImages(layout: StoreLayout): Digest[] {
  const text = ifPresent(() => readFileSync(join(layout.oci, 'index.json'), 'utf8'))
  return text === undefined ? [] : digestsOf(parse(text), 'manifests')
}

/** These manifests and indexes and everything they name. What is missing or unreadable keeps nothing more. */
export async function imageBlobs(blobs: BlobStore, roots: readonly Digest[]): Promise<Set<Digest>> {
  const found = new Set<Digest>()
  let level = roots
  for (let depth = 0; depth < DEPTH && level.length > 0; depth++) {
    const next: Digest[] = []
    for (const digest of level) {
      if (found.has(digest)) continue
      found.add(digest)
      const document = await readDocument(blobs, digest)
      const config = (document as { config?: { digest?: unknown } } | undefined)?.config?.digest
      for (const part of [...digestsOf(document, 'layers'), ...(isDigest(config) ? [config] : [])]) found.add(part)
      next.push(...digestsOf(document, 'manifests'))
    }
    level = next
  }
  return found
}

async function readDocument(blobs: BlobStore, digest: Digest): Promise<unknown> {
  try {
    return parse((await blobs.read(digest, MANIFEST_LIMIT)).toString('utf8'))
  } catch (error) {
    if (['BLOB_MISSING', 'BLOB_CORRUPT', 'BLOB_TOO_LARGE'].includes(errorCode(error) ?? '')) return undefined
    throw error
  }
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

function digestsOf(document: unknown, member: 'manifests' | 'layers'): Digest[] {
  const list = (document as Record<string, unknown> | null | undefined)?.[member]
  if (!Array.isArray(list)) return []
  return list.map((item) => (item as { digest?: unknown } | null)?.digest).filter(isDigest)
}
