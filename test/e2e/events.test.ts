import type { ServerResponse } from 'node:http'
import { afterAll, afterEach, beforeAll, expect, test } from '@jest/globals'
import type { BuildEvent } from '../../src/base/events.ts'
import { makeImage } from '../support/oci-image.ts'
import { packTar } from '../support/pack-tar.ts'
import { startTestRegistry, type TestRegistry } from '../support/registry-server.ts'
import { type RemoteBuilds, remoteBuilds } from '../support/remote-builds.ts'

/** What a build tells of its steps, for those who draw them. */
let builds: RemoteBuilds
let registry: TestRegistry
let count = 0
beforeAll(() => {
  builds = remoteBuilds()
})
afterEach(() => registry?.close())
afterAll(() => builds.remove())

const context = (dockerfile: string) => {
  count += 1
  return { context: builds.files(`context-${count}`, { Dockerfile: dockerfile, file: 'f' }) }
}

/** What is told of the vertex whose name has `part`, and when: its place in the order of all events. */
function placesOf(events: readonly BuildEvent[], part: string): Record<string, number> {
  const vertex = events.find((event) => event.type === 'vertex' && event.name.includes(part))
  const id = vertex?.type === 'vertex' ? vertex.id : undefined
  return Object.fromEntries(events.flatMap((event, place) => ('id' in event && event.id === id ? [[event.type, place] as const] : [])))
}

test.each([
  ['on it', 'FROM BASE\nWORKDIR /w\n', 'WORKDIR'],
  ['on it, by a copy', 'FROM BASE\nCOPY file /\n', 'COPY'],
  ['beside it', 'FROM BASE AS b\nFROM scratch\nCOPY --from=b etc/file /\n', 'COPY'],
])('a step starts when its base is there: %s', async (where, dockerfile, step) => {
  const image = makeImage({ layers: [packTar([{ name: 'etc/file', data: where }]).toString('latin1')] })
  const slow = (path: string, response: ServerResponse) => {
    if (!path.includes('/blobs/')) return false
    setTimeout(() => response.end(registry.blobs.get(path.slice(path.indexOf('sha256:')))), 100)
    return true
  }
  registry = await startTestRegistry({ intercept: ({ url = '' }, response) => slow(url, response) })
  registry.addImage('team/app', image, 'v1')
  const { events } = await builds.build(context(dockerfile.replace('BASE', `${registry.host}/team/app:v1`)))
  const [pull, made] = [placesOf(events, '] FROM'), placesOf(events, step)]
  expect(pull.started).toBeLessThan(pull.done ?? -1)
  expect(made.started).toBeGreaterThan(pull.done ?? Number.POSITIVE_INFINITY)
})

test('every vertex has a digest, and its inputs are vertices that were announced before it', async () => {
  const dockerfile = 'FROM scratch AS a\nWORKDIR /a\nFROM scratch\nCOPY file /\nCOPY --from=a /a /b\n'
  const { events } = await builds.build(context(dockerfile))
  const vertices = events.filter((event) => event.type === 'vertex')
  const named = new Map(vertices.map(({ name, digest }) => [digest, name]))
  expect(named.size).toBe(vertices.length)
  const graph = Object.fromEntries(vertices.map(({ name, inputs }) => [name, inputs.map((digest) => named.get(digest))]))
  expect(graph).toEqual({
    '[internal] load build context': [],
    '[a 1/1] WORKDIR /a': [],
    '[stage-1 1/2] COPY file /': ['[internal] load build context'],
    '[stage-1 2/2] COPY --from=a /a /b': ['[stage-1 1/2] COPY file /', '[a 1/1] WORKDIR /a'],
    'exporting to oci image format': [],
  })
})

test('the file of a URL tells its bytes, and how many they will be', async () => {
  registry = await startTestRegistry({
    intercept: (_request, response) => {
      response.writeHead(200, { 'content-length': '100000' }).end(Buffer.alloc(100_000))
      return true
    },
  })
  const { events } = await builds.build(context(`FROM scratch\nADD ${registry.url}/some.bin /\n`))
  const progress = events.filter((event) => event.type === 'progress').filter(({ item }) => item === 'some.bin')
  expect(progress[0]).toMatchObject({ total: 100_000, done: false })
  expect(progress.at(-1)).toMatchObject({ current: 100_000, total: 100_000, done: true })
  const { started, done } = placesOf(events, 'some.bin')
  expect(events.indexOf(progress[0] as BuildEvent)).toBeGreaterThan(started ?? Number.POSITIVE_INFINITY)
  expect(events.indexOf(progress.at(-1) as BuildEvent)).toBeLessThan(done ?? -1)
})
