import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals'
import { hexOf, sha256 } from '../../src/base/digest.ts'
import { build } from '../../src/build.ts'
import type { BuildOptions, BuildResult } from '../../src/build-options.ts'
import type { Index, Manifest } from '../../src/values/oci.ts'
import { script } from '../support/cli.ts'
import { startTestRegistry, type TestRegistry } from '../support/registry-server.ts'
import { openWorkspace, type Workspace } from '../support/workspace.ts'

let registry: TestRegistry
let space: Workspace
let folder = ''
beforeEach(async () => {
  registry = await startTestRegistry()
  registry.addLayout('library/busybox', script('busybox-layout.mjs').stdout.trim())
  space = openWorkspace()
  folder = mkdtempSync(join(tmpdir(), 'tbuild-push-'))
}, 300_000)
afterEach(async () => {
  await registry.close()
  space.remove()
  rmSync(folder, { recursive: true, force: true })
})

/** In this process: the registry of the test is here, too. No RUN step, so no privileges. */
function run(dockerfile: string, options: Partial<BuildOptions>): Promise<BuildResult> {
  const context = space.context({ Dockerfile: dockerfile.replaceAll('REGISTRY', registry.host), file: 'content\n' })
  return build({ context, root: space.store, environment: { HOME: folder }, ...options })
}

function manifest(name: string): Manifest & Index {
  const document = registry.documents.get(name)
  if (document === undefined) throw new Error(`the registry has no ${name}, but ${[...registry.documents.keys()].join(', ')}`)
  return JSON.parse(document.bytes.toString())
}

const uploads = () => registry.requests.filter(({ method }) => method === 'PUT' || method === 'PATCH').map(({ path }) => path)
const DOCKERFILE = 'FROM REGISTRY/library/busybox\nCOPY file /\n'

describe('push', () => {
  test('all blobs, then the manifest under every tag; a layer of the same registry is mounted, and not even fetched', async () => {
    // The test's registry knows blobs without repositories; a real one says that these have none yet.
    registry.intercept = (request, response) => {
      if (request.method !== 'HEAD' || !/^\/v2\/(team|other)\/app\/blobs\//.test(request.url ?? '')) return false
      response.writeHead(404)
      response.end()
      return true
    }
    const names = ['team/app:1', 'team/app:2', 'other/app:3'].map((name) => `${registry.host}/${name}`)
    const result = await run('FROM REGISTRY/library/busybox\nCOPY --link file /\n', {
      tags: names,
      outputs: [{ type: 'image', push: true }],
    })
    for (const name of ['team/app:1', 'team/app:2', 'other/app:3']) {
      const { config, layers } = manifest(name)
      expect([config, ...layers].filter(({ digest }) => !registry.blobs.has(digest))).toEqual([])
      expect(config.digest).toBe(result.images[0]?.configDigest)
    }
    const [base] = manifest('library/busybox:latest').layers
    const sent = registry.requests.map(({ method, path }) => `${method} ${decodeURIComponent(path)}`)
    const touched = sent.filter((request) => request.includes(base?.digest ?? '-') && !request.startsWith('HEAD'))
    expect(touched.map((request) => request.replace(/sha256.*&from=/, '…&from='))).toEqual([
      'POST /v2/team/app/blobs/uploads/?mount=…&from=library/busybox',
      'POST /v2/team/app/blobs/uploads/?mount=…&from=library/busybox',
      'POST /v2/other/app/blobs/uploads/?mount=…&from=library/busybox',
    ])
    const order = uploads().map((path) => path.replace(/uploads.*/, 'uploads'))
    expect(order.slice(0, 3)).toEqual(['/v2/team/app/blobs/uploads', '/v2/team/app/blobs/uploads', '/v2/team/app/manifests/1'])
    expect(result.metadata).toMatchObject({
      'image.name': names.join(','),
      'containerimage.digest': registry.documents.get('team/app:1')?.digest,
    })
  }, 60_000)

  test('what the registry has is not sent again; of an image whose tag it has one request is enough', async () => {
    const push = (name: string) => run(DOCKERFILE, { tags: [`${registry.host}/app:${name}`], outputs: [{ type: 'image', push: true }] })
    const first = await push('1')
    const sent = uploads().filter((path) => path.includes('/blobs/')).length
    await push('2')
    expect(uploads().filter((path) => path.includes('/blobs/'))).toHaveLength(sent)
    registry.requests.length = 0
    expect(await push('1')).toEqual({ ...first, steps: { total: 1, cached: 1 } })
    // Whether it has TLS, which base the name stands for now, and the image.
    const asked = registry.requests.map(({ method, path }) => `${method} ${path}`)
    expect(asked).toEqual(['GET /v2/', 'HEAD /v2/library/busybox/manifests/latest', 'HEAD /v2/app/manifests/1'])
  }, 60_000)

  test('a tag that names another image by now, or of which the registry does not say what it names, is pushed again', async () => {
    const push = () => run(DOCKERFILE, { tags: [`${registry.host}/app:1`], outputs: [{ type: 'image', push: true }] })
    await push()
    const { digest } = registry.documents.get('app:1') ?? {}
    registry.documents.set('app:1', registry.documents.get('library/busybox:latest') as never)
    await push()
    expect(registry.documents.get('app:1')?.digest).toBe(digest)
    registry.requests.length = 0
    registry.intercept = ({ method, url }, response) => {
      if (method !== 'HEAD' || !url?.startsWith('/v2/app/manifests/')) return false
      response.writeHead(500).end()
      return true
    }
    await push()
    expect(uploads()).toEqual(['/v2/app/manifests/1'])
  }, 60_000)

  test('several platforms are an index, its manifests by digest, annotated', async () => {
    await run('FROM scratch\nCOPY file /\n', {
      tags: [`${registry.host}/multi:1`],
      platforms: ['amd64', 'arm64'].map((architecture) => ({ os: 'linux', architecture })),
      annotations: [{ level: 'index', key: 'a', value: 'b' }],
      outputs: [{ type: 'image', push: true }],
    })
    const index = manifest('multi:1')
    expect(index.annotations).toEqual({ a: 'b' })
    expect(index.manifests.map(({ platform }) => platform?.architecture)).toEqual(['amd64', 'arm64'])
    for (const { digest } of index.manifests) expect(registry.blobs.has(manifest(`multi@${digest}`).config.digest)).toBe(true)
  }, 60_000)

  test('push-by-digest leaves no tag; name= goes where it says and not to the tags', async () => {
    const result = await run(DOCKERFILE, {
      tags: ['local:1'],
      outputs: [{ type: 'image', push: true, pushByDigest: true, name: `${registry.host}/bare` }],
    })
    expect([...registry.documents.keys()].filter((name) => name.startsWith('bare'))).toEqual([`bare@${result.images[0]?.manifestDigest}`])
    expect(result.metadata['image.name']).toBe(`${registry.host}/bare`)
  }, 60_000)

  test('a registry that fails in between is asked again; one that refuses leaves no tag', async () => {
    let failures = 2
    registry.intercept = (request, response) => {
      if (request.method !== 'PUT' || !request.url?.includes('/blobs/uploads/') || failures-- <= 0) return false
      response.writeHead(503, { 'content-length': 0 })
      response.end()
      return true
    }
    await run(DOCKERFILE, { tags: [`${registry.host}/retried:1`], outputs: [{ type: 'image', push: true }] })
    expect(registry.documents.has('retried:1')).toBe(true)
    registry.intercept = (request, response) => {
      if (request.method !== 'POST') return false
      response.writeHead(403, { 'content-type': 'application/json' })
      response.end('{"errors":[{"code":"DENIED","message":"not yours"}]}')
      return true
    }
    const refused = run(`${DOCKERFILE}COPY file /another\n`, {
      tags: [`${registry.host}/refused:1`],
      outputs: [{ type: 'image', push: true }],
    })
    await expect(refused).rejects.toMatchObject({ code: 'REGISTRY_DENIED' })
    expect([...registry.documents.keys()].filter((name) => name.startsWith('refused'))).toEqual([])
  }, 60_000)

  test('layers arrive as the diffIDs of the config say, in the compression asked for', async () => {
    const outputs = [{ type: 'image', push: true, compression: 'uncompressed', forceCompression: true }] as const
    const result = await run(DOCKERFILE, { tags: [`${registry.host}/flat:1`], outputs })
    const { config, layers } = manifest('flat:1')
    const { rootfs } = JSON.parse(registry.blobs.get(config.digest)?.toString() ?? '')
    expect(layers.map(({ digest }) => digest)).toEqual(rootfs.diff_ids)
    for (const { digest } of layers) expect(sha256(registry.blobs.get(digest) as Buffer)).toBe(digest)
    expect(hexOf(config.digest)).toBe(hexOf(result.images[0]?.configDigest as typeof config.digest))
  }, 60_000)
})
