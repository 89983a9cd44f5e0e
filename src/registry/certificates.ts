import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { errorCode, TbuildError } from '../base/errors.ts'
import { configFolder } from '../base/home.ts'
import { readNamedFile } from '../base/named-file.ts'
import type { Environment } from './proxy.ts'

/** Options of node:tls for one registry. */
export interface TlsOptions {
  readonly ca?: string[]
  readonly cert?: string
  readonly key?: string
  readonly rejectUnauthorized?: false
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
      if (name.endsWith('.crt')) extra.push(readNamedFile(join(folder, name)).toString('utf8'))
      if (name.endsWith('.cert')) client = { cert: readNamedFile(join(folder, name)).toString('utf8'), key: keyOf(folder, name) }
    }
  }
  if (insecure) return { ...client, rejectUnauthorized: false }
  // `ca` replaces Node's list, so it is given only together with the system's own.
  const authorities = [roots(environment), ...folderRoots(environment), ...extra].filter((bundle) => bundle !== undefined)
  return { ...(authorities.length > 0 ? { ca: authorities } : {}), ...client }
}

function listOptional(folder: string): string[] {
  try {
    return readdirSync(folder).sort()
  } catch {
    return []
  }
}

function keyOf(folder: string, certificate: string): string {
  const file = join(folder, certificate.replace(/\.cert$/, '.key'))
  const key = readOptional(file)
  if (key !== undefined) return key
  throw new TbuildError('CERTIFICATE_UNREADABLE', `missing key ${file} for client certificate ${certificate}`, {
    hint: 'a .cert file in certs.d needs a .key file of the same name',
  })
}
