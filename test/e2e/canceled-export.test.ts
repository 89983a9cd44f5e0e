import { getEventListeners } from 'node:events'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals'
import { build } from '../../src/build.ts'
import type { BuildOptions, OutputSpec } from '../../src/build-options.ts'
import { makeImage } from '../support/oci-image.ts'
import { packTar } from '../support/pack-tar.ts'
import { startTestRegistry, type TestRegistry } from '../support/registry-server.ts'

/** The steps are done and a layer is being fetched for an output, from a registry that does not answer: the caller can still end the build. */
let registry: TestRegistry
let folder = ''
beforeEach(async () => {
  registry = await startTestRegistry()
  registry.addImage('base', makeImage({ layers: [packTar([{ name: 'file' }]).toString()] }), '1')
  folder = mkdtempSync(join(tmpdir(), 'tbuild-canceled-'))
  mkdirSync(join(folder, 'context'))
  writeFileSync(join(folder, 'context/Dockerfile'), `FROM ${registry.host}/base:1\nCOPY Dockerfile /copied\n`)
})
afterEach(async () => {
  await registry.close()
  rmSync(folder, { recursive: true, force: true })
})

const around = () => ({ context: join(folder, 'context'), environment: { HOME: folder } })
const archive = (): OutputSpec[] => [{ type: 'oci', dest: join(folder, 'archive'), tar: true }]

/** Ends the build when the first request comes that `isLayer` says is one, and never answers it. */
async function canceled(isLayer: (path: string) => boolean, options: Partial<BuildOptions>): Promise<unknown> {
  const caller = new AbortController()
  registry.intercept = ({ url = '' }) => {
    if (!isLayer(url)) return false
    caller.abort()
    return true
  }
  const building = build({ ...around(), root: join(folder, 'store'), ...options }, { signal: caller.signal })
  const late = new Promise((resolve) => setTimeout(resolve, 5_000, 'the build goes on').unref())
  return Promise.race([building.catch((error: unknown) => error), late])
}

const layersOf = (name: string): string[] => {
  const manifest = JSON.parse(registry.documents.get(name)?.bytes.toString() ?? '{}')
  return manifest.layers.map(({ digest }: { digest: string }) => `/v2/${name.split(':')[0]}/blobs/${digest}`)
}

describe.each<[string, () => Partial<BuildOptions>]>([
  ['an archive', () => ({ outputs: archive() })],
  ['the store', () => ({ tags: ['own:1'] })],
])('a layer for %s', (_name, options) => {
  test('of a base image', async () => {
    writeFileSync(join(folder, 'context/Dockerfile'), `FROM ${registry.host}/base:1\nLABEL a=1\n`)
    const error = await canceled((path) => layersOf('base:1').includes(path), options())
    expect(error).toMatchObject({ code: 'CANCELED', exitCode: 130 })
  })

  test('of a cache', async () => {
    const cache = { type: 'registry', ref: `${registry.host}/app:cache` } as const
    await build({ ...around(), root: join(folder, 'first'), cacheTo: [{ ...cache, mode: 'max' }] })
    const own = layersOf('app:cache')
    const error = await canceled((path) => own.includes(path), { ...options(), cacheFrom: [cache] })
    expect(error).toMatchObject({ code: 'CANCELED', exitCode: 130 })
  })
})

test('a signal for many builds keeps nothing of one that is done', async () => {
  const { signal } = new AbortController()
  await build({ ...around(), root: join(folder, 'store'), outputs: archive() }, { signal })
  await expect(build({ ...around(), root: join(folder, 'store'), context: join(folder, 'none') }, { signal })).rejects.toThrow()
  expect(getEventListeners(signal, 'abort')).toEqual([])
})
