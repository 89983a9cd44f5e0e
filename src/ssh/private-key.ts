import { createPrivateKey, type JsonWebKey, type KeyObject, sign } from 'node:crypto'
import { TbuildError } from '../base/errors.ts'
import { mpint, string, WireReader } from './wire.ts'

/** A key that signs for an agent. */
export interface SigningKey {
  /** RFC 4253, section 6.6: what a server knows the key by. */
  readonly publicKey: Buffer
  /** The signature blob; `flags` of a sign request choose the hash of an RSA key. */
  sign(data: Buffer, flags: number): Buffer
}

/** Flags of a sign request (draft-ietf-sshm-ssh-agent, section 3.6.1). */
const RSA_SHA256 = 2
const RSA_SHA512 = 4

const CURVES: Readonly<Record<string, { readonly jwk: string; readonly hash: string; readonly size: number }>> = {
  nistp256: { jwk: 'P-256', hash: 'sha256', size: 32 },
  nistp384: { jwk: 'P-384', hash: 'sha384', size: 48 },
  nistp521: { jwk: 'P-521', hash: 'sha512', size: 66 },
}

/** An unencrypted private key in PEM: OpenSSH's own form, PKCS #1, SEC 1 or PKCS #8. Throws SSH_KEY with the words of Go's package, which BuildKit uses. */
export function parsePrivateKey(data: Buffer): SigningKey {
  const block = /-----BEGIN ([A-Z0-9 ]+)-----\r?\n([\s\S]*?)-----END \1-----/.exec(data.toString('latin1'))
  if (block === null) throw keyError('ssh: no key found')
  const [pem, type = '', body = ''] = block
  if (/^Proc-Type:.*ENCRYPTED/m.test(body) || type === 'ENCRYPTED PRIVATE KEY') throw encrypted()
  try {
    if (type === 'OPENSSH PRIVATE KEY') return signingKey(opensshKey(Buffer.from(body, 'base64')))
    if (!['RSA PRIVATE KEY', 'EC PRIVATE KEY', 'PRIVATE KEY'].includes(type)) throw keyError(`ssh: unsupported key type "${type}"`)
    return signingKey(createPrivateKey(pem))
  } catch (error) {
    if ((error as { code?: unknown }).code === 'SSH_KEY') throw error
    throw keyError(`ssh: the key is broken: ${(error as Error).message}`)
  }
}

function keyError(message: string, hint = 'name the file of a private key, or the socket of an agent'): TbuildError {
  return new TbuildError('SSH_KEY', message, { hint })
}

function encrypted(): TbuildError {
  return keyError('ssh: this private key is passphrase protected', 'add it to an ssh-agent and pass --ssh default')
}

/** OpenSSH's PROTOCOL.key. */
function opensshKey(data: Buffer): KeyObject {
  const magic = 'openssh-key-v1\0'
  if (data.toString('latin1', 0, magic.length) !== magic) throw keyError('ssh: invalid openssh private key format')
  const reader = new WireReader(data.subarray(magic.length))
  const [cipher, kdf] = [reader.text(), reader.text()]
  reader.string()
  if (cipher !== 'none' || kdf !== 'none') throw encrypted()
  if (reader.uint32() !== 1) throw keyError('ssh: multi-key files are not supported')
  reader.string()
  const fields = new WireReader(reader.string())
  // The same number twice: with a cipher they tell whether the passphrase was right.
  const [one, other] = [fields.uint32(), fields.uint32()]
  if (one !== other) throw keyError('ssh: malformed OpenSSH key')
  return createPrivateKey({ key: jwkOf(fields), format: 'jwk' })
}

function jwkOf(fields: WireReader): JsonWebKey {
  const type = fields.text()
  if (type === 'ssh-ed25519') {
    const [x, both] = [fields.string(), fields.string()]
    return { kty: 'OKP', crv: 'Ed25519', x: base64(x), d: base64(both.subarray(0, 32)) }
  }
  if (type === 'ssh-rsa') return rsaJwk(fields)
  const curve = CURVES[type.replace(/^ecdsa-sha2-/, '')]
  if (curve === undefined || !type.startsWith('ecdsa-sha2-')) throw keyError(`ssh: unsupported key type "${type}"`)
  fields.string()
  const [point, d] = [fields.string(), fields.mpint()]
  const padded = Buffer.concat([Buffer.alloc(Math.max(0, curve.size - d.length)), d])
  const [x, y] = [point.subarray(1, 1 + curve.size), point.subarray(1 + curve.size)]
  return { kty: 'EC', crv: curve.jwk, x: base64(x), y: base64(y), d: base64(padded) }
}

function rsaJwk(fields: WireReader): JsonWebKey {
  const [n, e, d, qi, p, q] = [fields.mpint(), fields.mpint(), fields.mpint(), fields.mpint(), fields.mpint(), fields.mpint()]
  // The file leaves out what can be computed: d modulo each prime less one.
  const rest = (prime: Buffer) => {
    const hex = (number(d) % (number(prime) - 1n)).toString(16)
    return base64(Buffer.from(hex.padStart(prime.length * 2, '0'), 'hex'))
  }
  return { kty: 'RSA', n: base64(n), e: base64(e), d: base64(d), p: base64(p), q: base64(q), qi: base64(qi), dp: rest(p), dq: rest(q) }
}

function number(digits: Buffer): bigint {
  return BigInt(`0x${digits.toString('hex') || '0'}`)
}

function base64(data: Buffer): string {
  return data.toString('base64url')
}

function signingKey(key: KeyObject): SigningKey {
  const jwk = key.export({ format: 'jwk' })
  const field = (name: 'n' | 'e' | 'x' | 'y') => Buffer.from(jwk[name] ?? '', 'base64url')
  if (jwk.kty === 'RSA') {
    const publicKey = Buffer.concat([string('ssh-rsa'), mpint(field('e')), mpint(field('n'))])
    return { publicKey, sign: (data, flags) => signRsa(key, data, flags) }
  }
  if (jwk.crv === 'Ed25519') {
    const publicKey = Buffer.concat([string('ssh-ed25519'), string(field('x'))])
    return { publicKey, sign: (data) => Buffer.concat([string('ssh-ed25519'), string(sign(null, data, key))]) }
  }
  const [name, curve] = Object.entries(CURVES).find(([, { jwk: crv }]) => crv === jwk.crv) ?? []
  if (name === undefined || curve === undefined) throw keyError(`ssh: unsupported key type "${key.asymmetricKeyType}"`)
  const point = Buffer.concat([Buffer.of(4), field('x'), field('y')])
  const type = `ecdsa-sha2-${name}`
  return {
    publicKey: Buffer.concat([string(type), string(name), string(point)]),
    sign(data) {
      const both = sign(curve.hash, data, { key, dsaEncoding: 'ieee-p1363' })
      const [r, s] = [both.subarray(0, curve.size), both.subarray(curve.size)]
      return Buffer.concat([string(type), string(Buffer.concat([mpint(r), mpint(s)]))])
    },
  }
}

function signRsa(key: KeyObject, data: Buffer, flags: number): Buffer {
  const [type, hash] =
    flags & RSA_SHA512 ? ['rsa-sha2-512', 'sha512'] : flags & RSA_SHA256 ? ['rsa-sha2-256', 'sha256'] : ['ssh-rsa', 'sha1']
  return Buffer.concat([string(type), string(sign(hash, data, key))])
}
