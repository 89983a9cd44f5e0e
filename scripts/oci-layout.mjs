// Writes an image of one layer as an OCI image layout: bases for samples and tests, without a registry.
import { createHash } from 'node:crypto'
import {
  createReadStream,
  createWriteStream,
  existsSync,
  linkSync,
  mkdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { dirname, join } from 'node:path'
import { pipeline } from 'node:stream/promises'
import { setTimeout } from 'node:timers/promises'
import { createGzip } from 'node:zlib'

const CREATED = '2026-01-01T00:00:00Z'
const ARCHITECTURES = { x64: 'amd64', ppc64: 'ppc64le', ia32: '386' }
const MANIFEST = 'application/vnd.oci.image.manifest.v1+json'

/** Makes the layout `folder` unless it is there. Of all processes that want it one makes it, the others wait. */
export async function makeOnce(folder, make) {
  const lock = `${folder}.lock`
  mkdirSync(dirname(folder), { recursive: true })
  while (!existsSync(join(folder, 'index.json'))) {
    if (!takeLock(lock)) {
      await setTimeout(200)
      continue
    }
    try {
      if (!existsSync(join(folder, 'index.json'))) await make()
    } finally {
      rmSync(lock, { force: true })
    }
  }
  return folder
}

/** Whether the lock is ours now. One whose process is gone is freed, for the next try. */
export function takeLock(lock) {
  // It appears with its owner in it: nobody waits for one who was killed before he wrote his name.
  const own = `${lock}.${process.pid}`
  writeFileSync(own, String(process.pid))
  try {
    linkSync(own, lock)
    return true
  } catch (error) {
    if (error.code !== 'EEXIST') throw error
    if (!isHeld(lock)) rmSync(lock, { force: true })
    return false
  } finally {
    rmSync(own, { force: true })
  }
}

function isHeld(lock) {
  try {
    const owner = readFileSync(lock, 'utf8')
    return owner !== '' && existsSync(`/proc/${owner}`)
  } catch (error) {
    // Its owner has just given it back, and another may have it by now.
    if (error.code === 'ENOENT') return true
    throw error
  }
}

/** `tar` is the path of the layer; `config` the container config; `level` that of gzip. The folder appears whole or not at all. */
export async function writeLayout(folder, tar, { config, by, level = 9 }) {
  const temporary = `${folder}.${process.pid}`
  const blobs = join(temporary, 'blobs/sha256')
  rmSync(temporary, { recursive: true, force: true })
  mkdirSync(blobs, { recursive: true })
  const put = (mediaType, value) => {
    const data = Buffer.from(JSON.stringify(value))
    const hex = createHash('sha256').update(data).digest('hex')
    writeFileSync(join(blobs, hex), data)
    return { mediaType, digest: `sha256:${hex}`, size: data.length }
  }
  const layer = await compress(tar, join(blobs, 'layer'), level)
  renameSync(join(blobs, 'layer'), join(blobs, layer.hex))
  const descriptor = { mediaType: 'application/vnd.oci.image.layer.v1.tar+gzip', digest: `sha256:${layer.hex}`, size: layer.size }
  const configBlob = put('application/vnd.oci.image.config.v1+json', {
    created: CREATED,
    architecture: ARCHITECTURES[process.arch] ?? process.arch,
    os: 'linux',
    config,
    rootfs: { type: 'layers', diff_ids: [`sha256:${layer.diff}`] },
    history: [{ created: CREATED, created_by: by }],
  })
  const manifest = put(MANIFEST, { schemaVersion: 2, mediaType: MANIFEST, config: configBlob, layers: [descriptor] })
  const annotations = { 'org.opencontainers.image.ref.name': 'latest' }
  writeFileSync(join(temporary, 'index.json'), JSON.stringify({ schemaVersion: 2, manifests: [{ ...manifest, annotations }] }))
  writeFileSync(join(temporary, 'oci-layout'), '{"imageLayoutVersion":"1.0.0"}')
  rmSync(folder, { recursive: true, force: true })
  renameSync(temporary, folder)
}

/** gzip of Node writes no name and no time: equal tars give equal blobs. */
async function compress(tar, target, level) {
  const whole = createHash('sha256')
  const compressed = createHash('sha256')
  const tap = (hash) =>
    async function* (source) {
      for await (const chunk of source) {
        hash.update(chunk)
        yield chunk
      }
    }
  await pipeline(createReadStream(tar), tap(whole), createGzip({ level }), tap(compressed), createWriteStream(target))
  return { diff: whole.digest('hex'), hex: compressed.digest('hex'), size: statSync(target).size }
}
