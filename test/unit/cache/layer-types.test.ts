import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from '@jest/globals'
import { sha256 } from '../../../src/base/digest.ts'
import { localBackend } from '../../../src/cache/backends.ts'
import { ConfigWriter } from '../../../src/cache/buildkit/config-writer.ts'
import { cacheManifest } from '../../../src/cache/cache-manifest.ts'
import { CREATED, DIFF_ID } from '../../../src/cache/chain-layers.ts'
import type { ExportedLayer } from '../../../src/cache/exports.ts'
import { loadCaches } from '../../../src/cache/load.ts'
import { MediaType } from '../../../src/values/oci.ts'

let directory = ''
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'tbuild-layer-types-'))
})
afterEach(() => rmSync(directory, { recursive: true, force: true }))

/** A cache of one record whose layer has this type. */
function exported(mediaType: string, created = '2024-01-02T03:04:05Z') {
  const bytes = Buffer.from(`bytes of ${mediaType}`)
  const digest = sha256(bytes)
  const descriptor = { mediaType, digest, size: bytes.length }
  const layer: ExportedLayer = {
    blob: {
      descriptor,
      async *open() {
        yield bytes
      },
    },
    descriptor: { ...descriptor, annotations: { [DIFF_ID]: sha256('its tar'), [CREATED]: created } },
  }
  const writer = new ConfigWriter()
  writer.add(sha256('step')).results.push({ chain: [{ blob: digest }], createdAt: '2024-01-02T03:04:05Z' })
  return { writer, layers: new Map([[digest, layer]]) }
}

async function written(...[mediaType, ociMediaTypes, created]: [string, boolean, string?]) {
  const place = localBackend(directory)
  const { signal } = new AbortController()
  await place.put(cacheManifest(exported(mediaType, created), { ociMediaTypes }), { signal, isDamaged: false })
  const { caches } = await loadCaches(place, signal)
  return caches[0]?.layers[0]
}

test.each([
  [MediaType.ociLayer, MediaType.dockerLayer],
  [MediaType.ociLayerGzip, MediaType.dockerLayerGzip],
  [MediaType.ociLayerZstd, 'application/vnd.docker.image.rootfs.diff.tar.zstd'],
])('%s and Docker’s name of it are converted as BuildKit does, and both are read again', async (oci, docker) => {
  for (const type of [oci, docker]) {
    expect((await written(type, false))?.descriptor.mediaType).toBe(docker)
    expect((await written(type, true))?.descriptor.mediaType).toBe(oci)
  }
})

test('the time of a layer may have an offset, as every time of RFC 3339', async () => {
  expect(await written(MediaType.ociLayer, true, '2024-01-02T05:04:05.5+02:00')).toMatchObject({ created: '2024-01-02T05:04:05.5+02:00' })
  expect(await written(MediaType.ociLayer, true, 'yesterday')).not.toHaveProperty('created')
})
