import type { Json } from '../base/canonical-json.ts'
import type { Digest } from '../base/digest.ts'
import type { Descriptor } from '../values/oci.ts'

/**
 * The store's vocabulary. The store is one directory that any number of processes share (0700, format version in the path):
 *
 *   ROOT/v1/oci/            an OCI image layout: oci-layout, index.json, blobs/sha256/<hex>
 *   ROOT/v1/layers/<id>/    fs/ (the directory, overlay upper format), boot (until when, and where, it is safe: durability.ts), owners (layer-owners.ts)
 *   ROOT/v1/layers/<id>.json  what is known of the layer, which need not be there
 *   ROOT/v1/cache/…         cache records by key, a list of keys by step for "nearest", and what content digests stand for (listings.ts)
 *   ROOT/v1/images/…        image records by name
 *   ROOT/v1/mounts/<hash>/  RUN --mount=type=cache directories
 *   ROOT/v1/stat/<hash>     digests of context files by their stat (file-digests.ts), and of other things by names of their own (stat-cache.ts)
 *   ROOT/v1/locks/…         flock files by name
 *   ROOT/v1/leases/<name>   one an operation: what it relies on, read by gc (leases.ts)
 *   ROOT/v1/tmp/<lease>.<n> everything half-made; what belongs to a lease that nobody holds is anyone's to remove
 *
 * Life of every object: written under tmp/, renamed to its name; only then may anything refer to it. What a power cut could tear is either fsynced
 * (blobs), marked with the boot that wrote it (layers), or has a checksum and is a miss when torn (records).
 */

/** A layer directory. For a layer of an image it is the hex of its chainID, otherwise random hex. */
export type LayerId = string & { readonly __layerId: unique symbol }

/** Where a layer is: as a directory that is safe to use, as a blob that the store can unpack, where the operation can have it from, or nowhere. */
export type LayerState = 'directory' | 'blob' | 'remote' | 'missing'

/** A root file system: its layers, bottom first. Empty is scratch. */
export type Snapshot = readonly LayerId[]

/** A chunk is its reader's from then on: whoever made it writes nothing into it any more. */
export type Bytes = AsyncIterable<Uint8Array>

/** Takes the first `size` bytes of an open file, read at offsets, before it resolves. */
export type TakeFile = (fd: number, size: number) => Promise<void>

/** Told of a file that is being written. */
export interface Growth {
  /** `path`: of the new file, which may be renamed or removed afterwards. */
  begin(path: string): void
  /** Bytes that can be read. */
  grew(size: number): void
}

/** Immutable bytes by digest. */
export interface BlobStore {
  /**
   * Streams to a temporary file while hashing; size and digest are checked before the rename. `growth` is told of that file, for who reads it meanwhile.
   */
  put(bytes: Bytes | Uint8Array, expected?: { digest?: Digest; size?: number; growth?: Growth }): Promise<{ digest: Digest; size: number }>
  /** Streams and verifies: a wrong byte or length rejects at the end (BLOB_CORRUPT), a missing blob at once (BLOB_MISSING). */
  get(digest: Digest): Bytes
  /** The same, for who can take an open file: `take` gets the blob, which is verified meanwhile. */
  lend(digest: Digest, take: TakeFile): Promise<void>
  /** A small blob whole, verified; more than `limit` bytes is refused. */
  read(digest: Digest, limit: number): Promise<Buffer>
  stat(digest: Digest): Promise<{ size: number } | undefined>
  /** Where the blob lies, for a reader that verifies by itself. */
  path(digest: Digest): string
  list(): AsyncIterable<Digest>
  delete(digest: Digest): Promise<void>
}

/** What is known of a layer; kept in layers/<id>.json and completed as things are learnt. */
export interface LayerInfo {
  /** sha256 of the uncompressed tar, once it was made or verified. */
  diffId?: Digest
  /** Bytes of the uncompressed tar, once it was made. */
  tarSize?: number
  /** Forms of the tar that are (or can be fetched) as blobs. */
  blobs?: readonly Descriptor[]
  /** The blob with what the tar lacks of times, of a layer that was made as a blob alone (src/layers/exact-times.ts). */
  times?: Digest
  /** Bytes on disk, approximately. */
  size?: number
  /** ISO time. */
  created?: string
  /** The layers that it was made over, which its tar is the difference to. */
  parent?: Snapshot
}

/** One named input of a cache key. `value` is what is compared and shown by explain; never a secret's value. */
export interface KeyPart {
  readonly name: string
  readonly value: Json
}

export interface CacheRecord {
  readonly version: 1
  /** sha256 of the canonical JSON of the parts. */
  readonly key: Digest
  readonly parts: readonly KeyPart[]
  /** Where `nearest` looks: the same step of the same Dockerfile in an earlier build. */
  readonly step: string
  /** The step as the progress shows it, and where it stands (`Dockerfile:3`): for people. */
  readonly name?: string
  readonly place?: string
  /** The whole root file system that the step produced. */
  readonly layers: Snapshot
  readonly created: string
  lastUsed: string
}

export interface CacheIndex {
  /** The record, when it is whole and all its layers are there or can be had. */
  find(key: Digest): Promise<CacheRecord | undefined>
  /** The most recent records of the same step, newest first. */
  nearest(step: string, limit?: number): Promise<CacheRecord[]>
  save(record: CacheRecord): Promise<void>
  list(): AsyncIterable<CacheRecord>
  delete(key: Digest): Promise<void>
}

/** An image in the store. The manifest is made when something needs it; the config blob is there. */
export interface ImageRecord {
  readonly name: string
  /** Digest of the config blob: the image's id. */
  readonly config: Digest
  readonly layers: readonly { readonly id: LayerId; readonly diffId: Digest }[]
  readonly platform: { readonly os: string; readonly architecture: string; readonly variant?: string }
  readonly created: string
  /** Bytes of the layers, uncompressed. */
  readonly size: number
}

export interface ImageIndex {
  get(name: string): Promise<ImageRecord | undefined>
  set(record: ImageRecord): Promise<void>
  list(): Promise<ImageRecord[]>
  delete(name: string): Promise<void>
}
