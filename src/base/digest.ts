import { createHash } from 'node:crypto'
import { TbuildError } from './errors.ts'
import { type Sha256, sys } from './sys.ts'

/** `algorithm:hex`, OCI image spec, descriptor.md "Digests". Only sha256 is accepted: 64 lower-case hex digits. */
export type Digest = string & { readonly __digest: unique symbol }

const SHA256 = /^sha256:[0-9a-f]{64}$/

export function isDigest(text: unknown): text is Digest {
  return typeof text === 'string' && SHA256.test(text)
}

/** Strict: a digest becomes part of paths and URLs, so nothing else may pass. */
export function parseDigest(text: unknown): Digest {
  if (isDigest(text)) return text
  throw new TbuildError('DIGEST_INVALID', `invalid digest: ${JSON.stringify(text)?.slice(0, 100)}`, {
    hint: 'a digest is sha256: and 64 lower-case hexadecimal digits',
  })
}

const ALGORITHMS: Readonly<Record<string, number>> = { sha256: 64, sha384: 96, sha512: 128 }

/** What go-digest finds wrong with a digest, which may be a sha384 or sha512, too; undefined when it is one. */
export function digestProblem(text: string): string | undefined {
  const [, algorithm = '', encoded = ''] = /^([^:]+):([\s\S]+)$/.exec(text) ?? []
  if (!Object.hasOwn(ALGORITHMS, algorithm)) {
    const isOne = /^[a-z0-9]+(?:[.+_-][a-z0-9]+)*:[a-zA-Z0-9=_-]+$/.test(text)
    return isOne ? 'unsupported digest algorithm' : 'invalid checksum digest format'
  }
  if (Buffer.byteLength(encoded) !== ALGORITHMS[algorithm]) return 'invalid checksum digest length'
  return /^[a-f0-9]+$/.test(encoded) ? undefined : 'invalid checksum digest format'
}

/** The digest of these bytes by the algorithm of another, which `digestProblem` has nothing against. */
export function digestLike(other: string, data: Uint8Array): string {
  const algorithm = other.slice(0, other.indexOf(':'))
  return `${algorithm}:${createHash(algorithm).update(data).digest('hex')}`
}

export function sha256(data: string | Uint8Array): Digest {
  return `sha256:${sha256Hex(data)}` as Digest
}

/** The 64 hex digits. By the addon: node:crypto takes a tenth of Node's start to load. */
export function sha256Hex(data: string | Uint8Array): string {
  return sys().sha256(data)
}

/** A sha256 of pieces that come one at a time; StreamHash computes it on another thread. */
export class RunningHash {
  readonly #hash: Sha256 = sys().sha256Begin()

  /** A string counts as UTF-8. */
  update(data: string | Uint8Array): this {
    sys().sha256Add(this.#hash, data)
    return this
  }

  /** Nothing can be added any more. */
  finish(): Digest {
    return digestOf(sys().sha256End(this.#hash))
  }
}

/** The 64 hex digits. */
export function hexOf(digest: Digest): string {
  return digest.slice('sha256:'.length)
}

/** Of the 32 bytes of a sha256. */
export function digestOf(bytes: Buffer): Digest {
  return `sha256:${bytes.toString('hex')}` as Digest
}

/** A layer's diffID with those of all layers below it in one digest, for each of them (OCI image spec, config.md "Layer ChainID"). */
export function chainDigests(diffIds: readonly Digest[]): Digest[] {
  let chain: Digest | undefined
  return diffIds.map((diffId) => {
    chain = chain === undefined ? diffId : sha256(`${chain} ${diffId}`)
    return chain
  })
}
