import { spawn } from 'node:child_process'
import { createReadStream, existsSync, openSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { request } from 'node:http'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { pipeline } from 'node:stream/promises'
import { setTimeout } from 'node:timers/promises'
import { gunzipSync } from 'node:zlib'
import { startTestRegistry } from '../test/support/registry-server.ts'
import { Failure } from './run.ts'

/** A registry on loopback without a login. */
export interface Registry {
  /** `host:port` */
  readonly host: string
  readonly version: string
  close(): Promise<void>
}

/** Debian's docker-registry where it is installed, since that is what people run; else the one of the tests, in this process. */
const PROGRAM = '/usr/bin/docker-registry'

export async function startRegistry(folder: string): Promise<Registry> {
  if (existsSync(PROGRAM)) return startDistribution(folder)
  const registry = await startTestRegistry()
  return { host: registry.host, version: 'the registry of the tests', close: registry.close }
}

async function startDistribution(folder: string): Promise<Registry> {
  const host = `127.0.0.1:${await freePort()}`
  const config = join(folder, 'registry.yml')
  writeFileSync(
    config,
    `version: 0.1\nlog: {level: error}\nstorage: {filesystem: {rootdirectory: ${join(folder, 'registry')}}}\nhttp: {addr: "${host}"}\n`,
  )
  const log = openSync(join(folder, 'registry.log'), 'w')
  const child = spawn(PROGRAM, ['serve', config], { stdio: ['ignore', log, log], detached: true })
  const ended = new Promise<void>((resolve) => child.once('exit', () => resolve()))
  const stop = () => void child.kill('SIGTERM')
  // A bench that ends by a mistake of its own leaves none behind.
  process.once('exit', stop)
  const close = async () => {
    process.off('exit', stop)
    stop()
    await ended
  }
  for (let attempt = 0; attempt < 200 && child.exitCode === null; attempt += 1) {
    if (await answers(host)) return { host, version: 'docker-registry', close }
    await setTimeout(50)
  }
  await close()
  throw new Error(`${PROGRAM} does not start:\n${readFileSync(join(folder, 'registry.log'), 'utf8')}`)
}

async function freePort(): Promise<number> {
  const server = createServer()
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as { port: number }
  await new Promise((resolve) => server.close(resolve))
  return port
}

async function answers(host: string): Promise<boolean> {
  return fetch(`http://${host}/v2/`).then(
    ({ ok }) => ok,
    () => false,
  )
}

interface Descriptor {
  readonly mediaType: string
  readonly digest: string
}

interface Manifest {
  readonly config: Descriptor
  readonly layers: readonly Descriptor[]
}

/** Pushes the one image of an OCI layout; returns its reference. */
export async function pushLayout(host: string, repository: string, layout: string, tag = 'latest'): Promise<string> {
  const blob = (digest: string) => join(layout, 'blobs', digest.replace(':', '/'))
  const index = JSON.parse(readFileSync(join(layout, 'index.json'), 'utf8')) as { manifests: [Descriptor] }
  const [{ digest, mediaType }] = index.manifests
  const manifest = readFileSync(blob(digest))
  const { config, layers } = JSON.parse(manifest.toString('utf8')) as Manifest
  for (const one of [config, ...layers]) await pushBlob(host, repository, one.digest, blob(one.digest))
  return pushManifest(host, repository, tag, mediaType, manifest)
}

/** Returns the reference of what was pushed. */
export async function pushManifest(host: string, repository: string, tag: string, mediaType: string, manifest: Buffer): Promise<string> {
  const put = await fetch(`http://${host}/v2/${repository}/manifests/${tag}`, {
    method: 'PUT',
    body: new Uint8Array(manifest),
    headers: { 'content-type': mediaType },
  })
  if (put.status !== 201) throw new Error(`${host} takes no manifest: ${put.status} ${await put.text()}`)
  return `${host}/${repository}:${tag}`
}

export async function pushBlob(host: string, repository: string, digest: string, file: string): Promise<void> {
  const post = await fetch(`http://${host}/v2/${repository}/blobs/uploads/`, { method: 'POST' })
  const location = new URL(post.headers.get('location') ?? '', `http://${host}`)
  location.searchParams.set('digest', digest)
  const put = request(location, {
    method: 'PUT',
    headers: { 'content-type': 'application/octet-stream', 'content-length': statSync(file).size },
  })
  const answered = new Promise<{ status: number; body: string }>((resolve, reject) => {
    put.on('error', reject)
    put.on('response', (response) => void text(response).then((body) => resolve({ status: response.statusCode ?? 0, body }), reject))
  })
  await pipeline(createReadStream(file), put)
  const { status, body } = await answered
  if (status !== 201) throw new Error(`${host} takes no blob: ${status} ${body}`)
}

/** The layers of an image that was pushed, bottom first. Throws Failure when the registry has no such image. */
export async function pushedLayers(reference: string): Promise<readonly Descriptor[]> {
  const { repository, tag } = partsOf(reference)
  const types = ['application/vnd.oci.image.manifest.v1+json', 'application/vnd.docker.distribution.manifest.v2+json']
  const answer = await fetch(`${repository}/manifests/${tag}`, { headers: { accept: types.join(', ') } })
  if (!answer.ok) throw new Failure(`${reference} is not in the registry: ${answer.status}`)
  return ((await answer.json()) as Manifest).layers
}

/** The tar of the uppermost layer. For small ones: it is read as a whole. */
export async function pushedTop(reference: string): Promise<Buffer> {
  const digest = (await pushedLayers(reference)).at(-1)?.digest
  const answer = await fetch(`${partsOf(reference).repository}/blobs/${digest}`)
  if (!answer.ok) throw new Failure(`the registry has no ${digest}: ${answer.status}`)
  return gunzipSync(Buffer.from(await answer.arrayBuffer()))
}

function partsOf(reference: string): { repository: string; tag: string } {
  const [, host = '', repository = '', tag = ''] = /^([^/]+)\/(.+):([^:/]+)$/.exec(reference) ?? []
  return { repository: `http://${host}/v2/${repository}`, tag }
}
