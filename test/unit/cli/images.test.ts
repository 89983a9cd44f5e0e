import { describe, expect, test } from '@jest/globals'
import { sha256 } from '../../../src/base/digest.ts'
import { historyList } from '../../../src/cli/commands/history.ts'
import { imageList } from '../../../src/cli/commands/images.ts'
import { inspection } from '../../../src/cli/commands/inspect.ts'
import { findImage } from '../../../src/cli/commands/store.ts'
import { ago, humanSize } from '../../../src/cli/table.ts'
import type { ImageRecord } from '../../../src/store/types.ts'
import type { ImageConfigFile } from '../../../src/values/oci.ts'

const NOW = Date.parse('2026-03-01T00:00:00Z')
const platform = { os: 'linux', architecture: 'amd64' }

function record(name: string, seed: string, created: string): ImageRecord {
  return { name, config: sha256(seed), layers: [], platform, created, size: 4_268_000 }
}

const APP = record('docker.io/library/app:1', 'a', '2026-02-28T21:00:00Z')
const OLD = record('localhost:5000/team/tool:latest', 'b', '2025-03-01T00:00:00Z')
const id = (image: ImageRecord) => image.config.slice(7, 19)

test('images: newest first, as docker prints them', () => {
  expect(imageList([OLD, APP], {}, NOW)).toBe(
    [
      'REPOSITORY                 TAG      IMAGE ID       CREATED         SIZE',
      `app                        1        ${id(APP)}   3 hours ago     4.27MB`,
      `localhost:5000/team/tool   latest   ${id(OLD)}   12 months ago   4.27MB`,
      '',
    ].join('\n'),
  )
})

test('images -q and --format json', () => {
  expect(imageList([OLD, APP], { quiet: true }, NOW)).toBe(`${id(APP)}\n${id(OLD)}\n`)
  expect(JSON.parse(imageList([APP], { format: 'json' }, NOW))).toEqual({
    Repository: 'app',
    Tag: '1',
    ID: APP.config,
    CreatedAt: APP.created,
    CreatedSince: '3 hours ago',
    Size: '4.27MB',
    Platform: 'linux/amd64',
  })
  expect(() => imageList([], { format: '{{.ID}}' }, NOW)).toThrow('--format {{.ID}} is not supported')
})

describe('finding an image', () => {
  const view = { images: async () => [APP, OLD, { ...APP, name: 'docker.io/me/same:2' }] }

  test.each(['app:1', 'docker.io/library/app:1', APP.config, id(APP)])('%s', async (wanted) => {
    const found = await findImage(view, wanted)
    expect(found.record.config).toBe(APP.config)
    expect(found.names).toEqual(['app:1', 'me/same:2'])
  })

  test('a port is no tag, and the tag defaults to latest', async () => {
    expect((await findImage(view, 'localhost:5000/team/tool')).record).toBe(OLD)
  })

  test('a miss says where to look', async () => {
    await expect(findImage(view, 'nope')).rejects.toMatchObject({ code: 'IMAGE_NOT_FOUND', hint: '`tbuild images` lists what is there' })
  })
})

const CONFIG: ImageConfigFile = {
  architecture: 'amd64',
  os: 'linux',
  created: '2026-02-28T21:00:00Z',
  author: 'Me',
  config: { Cmd: ['sh'] },
  rootfs: { type: 'layers', diff_ids: [sha256('x')] },
  history: [
    {
      created: '2026-02-28T20:00:00Z',
      created_by: 'RUN /bin/sh -c echo a very long command that does not fit # buildkit',
      comment: 'buildkit.dockerfile.v0',
    },
    { created: '2026-02-28T21:00:00Z', created_by: 'CMD ["sh"]', empty_layer: true },
  ],
}

test('inspect: the members of docker image inspect', () => {
  expect(inspection({ record: APP, names: ['app:1'] }, CONFIG)).toEqual({
    Id: APP.config,
    RepoTags: ['app:1'],
    Created: '2026-02-28T21:00:00Z',
    Author: 'Me',
    Architecture: 'amd64',
    Os: 'linux',
    Size: APP.size,
    Config: { Cmd: ['sh'] },
    RootFS: { Type: 'layers', Layers: [sha256('x')] },
  })
})

test('history: newest step first, sizes go to the steps that have a layer', () => {
  expect(historyList(APP.config, CONFIG, [1500], { trunc: true }, NOW)).toBe(
    [
      'IMAGE          CREATED       CREATED BY                                      SIZE    COMMENT',
      `${id(APP)}   3 hours ago   CMD ["sh"]                                      0B`,
      '<missing>      4 hours ago   RUN /bin/sh -c echo a very long command that…   1.5kB   buildkit.dockerfile.v0',
      '',
    ].join('\n'),
  )
  expect(historyList(APP.config, CONFIG, [undefined], { trunc: false }, NOW)).toContain('fit # buildkit   N/A')
})

test.each([
  [0, '0B'],
  [999, '999B'],
  [1000, '1kB'],
  [4_268_000, '4.27MB'],
  [123_456_789, '123MB'],
])('size %d', (size, text) => {
  expect(humanSize(size)).toBe(text)
})

test.each([
  ['2026-02-28T23:59:59Z', '1 second ago'],
  ['2026-02-28T23:58:00Z', '2 minutes ago'],
  ['2026-02-20T00:00:00Z', '9 days ago'],
  ['2026-01-25T00:00:00Z', '5 weeks ago'],
  ['not a time', 'N/A'],
])('age of %s', (created, text) => {
  expect(ago(created, NOW)).toBe(text)
})
