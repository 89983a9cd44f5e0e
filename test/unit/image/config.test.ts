import { readFileSync } from 'node:fs'
import { type Digest, sha256 } from '../../../src/base/digest.ts'
import { assembleConfig } from '../../../src/image/assemble.ts'
import { encodeConfig } from '../../../src/image/config.ts'
import { parseImageConfig } from '../../../src/sources/image/image-config.ts'
import type { ImageConfigFile } from '../../../src/values/oci.ts'

const platform = { os: 'linux', architecture: 'amd64' }
const layer = (name: string, created?: string) => ({ diffId: sha256(name) as Digest, ...(created === undefined ? {} : { created }) })

test('I7 a config that BuildKit wrote is encoded to the same bytes', () => {
  const bytes = readFileSync(new URL('../../corpus/image/buildkit-config.json', import.meta.url))
  const members = Object.entries(JSON.parse(bytes.toString()) as ImageConfigFile).reverse()
  expect(encodeConfig(Object.fromEntries(members) as ImageConfigFile).toString()).toBe(bytes.toString().trimEnd())
})

test('I7 what a base has as null is left out, as Go leaves it out', () => {
  const encoded = (none: null | undefined) => {
    const document = {
      ...{ architecture: 'x', os: 'y', author: none, variant: none, 'os.version': none, 'os.features': none, created: none },
      config: { User: 'u', Env: none, Healthcheck: { Retries: 3, Test: none } },
      history: [{ created: '2020-01-01T00:00:00Z', author: none, empty_layer: true }],
      rootfs: { type: 'layers', diff_ids: [] },
    }
    const base = parseImageConfig(Buffer.from(JSON.stringify(document)), 0, 'image')
    const { config = {}, history = [] } = base
    return encodeConfig(assembleConfig({ base, platform, config, history, layers: [] }).file).toString()
  }
  expect(encoded(null)).toBe(encoded(undefined))
})

test('I7 unknown members of a base are kept, keys sorted, HTML escaped as Go does', () => {
  const base = {
    architecture: 'x',
    os: 'y',
    'moby.thing': { b: 1, a: '<&>' },
    rootfs: { type: 'layers' as const, diff_ids: [] },
  }
  const { file } = assembleConfig({ base, platform, config: { Labels: { z: '\u2028', a: '1' }, Odd: [] }, history: [], layers: [] })
  expect(encodeConfig(file).toString()).toBe(
    '{"architecture":"amd64","config":{"Labels":{"a":"1","z":"\\u2028"},"Odd":[]},"history":[],"moby.thing":{"a":"\\u003c\\u0026\\u003e","b":1},"os":"linux","rootfs":{"type":"layers","diff_ids":[]}}',
  )
})

test('I6 missing times are filled from the first new layer, created is the last', () => {
  const { file } = assembleConfig({
    platform,
    config: {},
    history: [
      { created: '2020-01-01T00:00:00Z', created_by: 'base' },
      { created_by: 'ENV', empty_layer: true },
      { created_by: 'RUN' },
      { created_by: 'CMD', empty_layer: true },
    ],
    layers: [layer('base'), layer('run', '2024-05-05T00:00:00Z')],
  })
  expect(file.history?.map((entry) => entry.created)).toEqual([
    '2020-01-01T00:00:00Z',
    '2024-05-05T00:00:00Z',
    '2024-05-05T00:00:00Z',
    '2024-05-05T00:00:00Z',
  ])
  expect(file.created).toBe('2024-05-05T00:00:00Z')
})

test('I6 SOURCE_DATE_EPOCH clamps later times only, and leaves the history of the base', () => {
  const baseHistory = [{ created: '2025-01-01T00:00:00Z', created_by: 'base' }]
  const base = { os: 'linux', architecture: 'amd64', rootfs: { type: 'layers', diff_ids: [] }, history: baseHistory } as ImageConfigFile
  const { file } = assembleConfig({
    ...{ base, platform, config: {}, epoch: 1_000_000_000 },
    history: [
      ...baseHistory,
      { created: '2024-01-01T00:00:00Z', created_by: 'RUN' },
      { created: '1999-01-01T00:00:00Z', created_by: 'ENV', empty_layer: true },
    ],
    layers: [layer('base'), layer('run')],
  })
  expect(file.history?.map((entry) => entry.created)).toEqual(['2025-01-01T00:00:00Z', '2001-09-09T01:46:40Z', '1999-01-01T00:00:00Z'])
})

test('I8 more history than layers: the rest is marked empty, with a warning', () => {
  const { file, warnings } = assembleConfig({
    platform,
    config: {},
    history: [{ created_by: 'a' }, { created_by: 'b' }],
    layers: [layer('a', '2024-01-01T00:00:00Z')],
  })
  expect(file.history?.map((entry) => entry.empty_layer ?? false)).toEqual([false, true])
  expect(warnings).toHaveLength(1)
})

test('I8 I1 more layers than history: fillers of the exporter', () => {
  const { file } = assembleConfig({
    platform,
    config: {},
    history: [],
    layers: [{ ...layer('a', '2024-01-01T00:00:00Z'), description: 'mount / from exec' }],
  })
  expect(file.history).toEqual([
    { created: '2024-01-01T00:00:00Z', created_by: 'mount / from exec', comment: 'buildkit.exporter.image.v0' },
  ])
})

test('I9 the created of the base goes, its author stays; I11 the platform is the one asked for', () => {
  const base = {
    created: '2020-01-01T00:00:00Z',
    author: 'me',
    os: 'linux',
    architecture: 'arm',
    variant: 'v6',
    rootfs: { type: 'layers', diff_ids: [] },
  } as ImageConfigFile
  const { file } = assembleConfig({ base, platform: { os: 'linux', architecture: 'arm64' }, config: {}, history: [], layers: [] })
  expect(file).toEqual({
    author: 'me',
    os: 'linux',
    architecture: 'arm64',
    config: {},
    rootfs: { type: 'layers', diff_ids: [] },
    history: [],
  })
})
