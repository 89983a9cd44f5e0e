import { createPrivateKey, X509Certificate } from 'node:crypto'
import { readdirSync } from 'node:fs'
import { basename, join } from 'node:path'
import { configFolder, type Environment } from '../base/environment.ts'
import { errorCode, TbuildError } from '../base/errors.ts'
import { readNamedFile } from '../values/named-file.ts'

/** Options of node:tls for one registry. */
export interface TlsOptions {
  readonly ca?: string[]
  readonly cert?: string
  readonly key?: string
  /** Always given: where it is not, NODE_TLS_REJECT_UNAUTHORIZED of the process decides. */
  readonly rejectUnauthorized: boolean
}

/** Where Linux distributions keep the system's roots, as crypto/x509 looks for them. */
const SYSTEM_BUNDLES = [
  '/etc/ssl/certs/ca-certificates.crt',
  '/etc/pki/tls/certs/ca-bundle.crt',
  '/etc/ssl/ca-bundle.pem',
  '/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem',
  '/etc/ssl/cert.pem',
]

function readOptional(file: string): string | undefined {
  try {
    return readNamedFile(file).toString('utf8')
  } catch (error) {
    if (errorCode(error) === 'ENOENT' || errorCode(error) === 'ENOTDIR') return undefined
    throw new TbuildError('CERTIFICATE_UNREADABLE', `cannot read the certificate ${file}: ${(error as Error).message}`, {
      hint: 'make the file readable, or remove it',
      cause: error,
    })
  }
}

/** SSL_CERT_FILE replaces the system's bundle, as in Go; without either, Node's own list is used (undefined). */
function roots(environment: Environment): string | undefined {
  const named = environment.SSL_CERT_FILE
  if (named) {
    const bundle = readOptional(named)
    if (bundle !== undefined) return bundle
    throw new TbuildError('CERTIFICATE_UNREADABLE', `SSL_CERT_FILE names ${named}, which does not exist`, {
      hint: 'unset SSL_CERT_FILE or mend it',
    })
  }
  for (const file of SYSTEM_BUNDLES) {
    const bundle = readOptional(file)
    if (bundle !== undefined) return bundle
  }
  return undefined
}

/** The files of the folders that SSL_CERT_DIR names, besides the bundle, as in Go; what of them cannot be read is left out there, too. */
function folderRoots({ SSL_CERT_DIR: folders = '' }: Environment): string[] {
  const files = folders.split(':').flatMap((folder) => (folder === '' ? [] : listOptional(folder).map((name) => join(folder, name))))
  return files.flatMap((file) => {
    try {
      return readOptional(file) ?? []
    } catch {
      return []
    }
  })
}

/** Folders of `HOST[:PORT]/` with `*.crt` (authorities) and `*.cert` + `*.key` (client certificates), docker's and containers' layout. */
function certificateFolders(environment: Environment): string[] {
  const config = configFolder(environment)
  return ['/etc/docker/certs.d', '/etc/containers/certs.d', join(config, 'docker/certs.d'), join(config, 'containers/certs.d')]
}

/** TLS options for a host. Files are read once a process and host: callers keep the agent that uses them. */
export function tlsOptionsFor(
  host: string,
  environment: Environment,
  insecure: boolean,
  folders = certificateFolders(environment),
): TlsOptions {
  const extra: string[] = []
  let client: { cert: string; key: string } | undefined
  for (const folder of folders.map((base) => join(base, host))) {
    for (const name of listOptional(folder)) {
      if (name.endsWith('.crt')) extra.push(readCertificate(join(folder, name)))
      if (name.endsWith('.cert')) client = clientOf(join(folder, name))
    }
  }
  const rejectUnauthorized = !insecure
  if (insecure) return { ...client, rejectUnauthorized }
  // `ca` replaces Node's list, so it is given only together with the system's own.
  const authorities = [roots(environment), ...folderRoots(environment), ...extra].filter((bundle) => bundle !== undefined)
  return { ...(authorities.length > 0 ? { ca: authorities } : {}), ...client, rejectUnauthorized }
}

function listOptional(folder: string): string[] {
  try {
    return readdirSync(folder).sort()
  } catch {
    return []
  }
}

function readCertificate(file: string): string {
  const text = readOptional(file)
  if (text !== undefined) return text
  throw new TbuildError('CERTIFICATE_UNREADABLE', `the certificate ${file} leads to nothing`, { hint: 'mend the link, or remove it' })
}

function clientOf(certificate: string): { cert: string; key: string } {
  const cert = readCertificate(certificate)
  const file = certificate.replace(/\.cert$/, '.key')
  const key = readOptional(file)
  if (key === undefined) {
    throw new TbuildError('CERTIFICATE_UNREADABLE', `missing key ${file} for client certificate ${basename(certificate)}`, {
      hint: 'a .cert file in certs.d needs a .key file of the same name',
    })
  }
  // Said here by name: to a connection they are an error of OpenSSL's.
  let cause: unknown
  try {
    if (new X509Certificate(cert).checkPrivateKey(createPrivateKey(key))) return { cert, key }
  } catch (error) {
    cause = error
  }
  const reason = cause === undefined ? 'the key is of another certificate' : (cause as Error).message
  throw new TbuildError('CERTIFICATE_UNREADABLE', `cannot use the client certificate ${certificate} with ${file}: ${reason}`, {
    hint: 'both are PEM, and the key has no passphrase',
    cause,
  })
}
