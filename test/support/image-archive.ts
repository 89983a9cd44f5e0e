import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { gunzipSync } from 'node:zlib'
import type { ImageConfigFile } from '../../src/values/oci.ts'
import { readTar, type TarEntry } from './tar-reader.ts'

/** An image read back from an archive: its config, and its layers as tar entries, bottom first. */
export interface ReadImage {
  readonly config: ImageConfigFile
  readonly layers: readonly (readonly TarEntry[])[]
}

/** Reads `docker save`'s archive, a docker archive or an OCI layout in a tar; every digest on the way is checked. */
export function readImage(path: string): ReadImage {
  const files = new Map(readTar(readFileSync(path)).map((entry) => [entry.name.replace(/^\.\//, ''), entry.data]))
  const manifest = files.has('index.json') ? ociManifest(files) : dockerManifest(files)
  const config = JSON.parse(manifest.config.toString('utf8')) as ImageConfigFile
  const tars = manifest.layers.map(uncompressed)
  const diffIds = tars.map((tar) => `sha256:${createHash('sha256').update(tar).digest('hex')}`)
  if (JSON.stringify(diffIds) !== JSON.stringify(config.rootfs.diff_ids ?? []))
    throw new Error('the layers do not have the diffIDs of the config')
  return { config, layers: tars.map(readTar) }
}

interface Manifest {
  readonly config: Buffer
  readonly layers: readonly Buffer[]
}

function dockerManifest(files: ReadonlyMap<string, Buffer>): Manifest {
  const [first] = JSON.parse(need(files, 'manifest.json').toString('utf8')) as { Config: string; Layers: string[] | null }[]
  if (first === undefined) throw new Error('manifest.json is empty')
  return { config: need(files, first.Config), layers: (first.Layers ?? []).map((name) => need(files, name)) }
}

function ociManifest(files: ReadonlyMap<string, Buffer>): Manifest {
  const index = JSON.parse(need(files, 'index.json').toString('utf8')) as { manifests: { digest: string }[] }
  const blob = (digest: string) => {
    const data = need(files, `blobs/sha256/${digest.slice(7)}`)
    if (`sha256:${createHash('sha256').update(data).digest('hex')}` !== digest) throw new Error(`blob ${digest} has another digest`)
    return data
  }
  let manifest = JSON.parse(blob((index.manifests[0] as { digest: string }).digest).toString('utf8'))
  if (manifest.manifests) manifest = JSON.parse(blob(manifest.manifests[0].digest).toString('utf8'))
  return { config: blob(manifest.config.digest), layers: manifest.layers.map((layer: { digest: string }) => blob(layer.digest)) }
}

function need(files: ReadonlyMap<string, Buffer>, name: string): Buffer {
  const data = files.get(name)
  if (data === undefined) throw new Error(`${name} is not in the archive`)
  return data
}

function uncompressed(layer: Buffer): Buffer {
  return layer[0] === 0x1f && layer[1] === 0x8b ? gunzipSync(layer) : layer
}
