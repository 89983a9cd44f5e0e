import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from '@jest/globals'
import { sha256 } from '../../src/base/digest.ts'
import { MediaType } from '../../src/values/oci.ts'
import { script, tbuildAsync } from '../support/cli.ts'
import { readImage } from '../support/image-archive.ts'
import { applyLayers } from '../support/image-tree.ts'
import { document, json, makeImage } from '../support/oci-image.ts'
import { startTestRegistry, type TestRegistry, type TestRegistryOptions } from '../support/registry-server.ts'
import { openWorkspace, type Workspace } from '../support/workspace.ts'

/** Where a FROM may come from, and what is fetched for it. */
let workspace: Workspace
let layout = ''
beforeAll(() => {
  workspace = openWorkspace()
  layout = script('busybox-layout.mjs').stdout.trim()
}, 300_000)
afterAll(() => workspace.remove(), 120_000)

let counter = 0
let store = ''
let home = ''
beforeEach(() => {
  counter += 1
  store = workspace.path(`store-${counter}`)
  home = workspace.path(`home-${counter}`)
  mkdirSync(home)
})

let registry: TestRegistry
async function serve(options: TestRegistryOptions = {}): Promise<void> {
  registry = await startTestRegistry(options)
  registry.addLayout('team/busybox', layout)
}
afterEach(async () => registry?.close())

/** Docker's config.json with a login for the registry. */
function login(user: string, password: string): void {
  const auth = Buffer.from(`${user}:${password}`).toString('base64')
  writeFileSync(join(home, 'config.json'), JSON.stringify({ auths: { [registry.host]: { auth } } }))
}

async function build(dockerfile: string, ...args: string[]) {
  const folder = workspace.context({ Dockerfile: dockerfile })
  return tbuildAsync(['--root', store, '--progress', 'plain', ...args, folder], { DOCKER_CONFIG: home })
}

const USE = (base: string) => `FROM ${base}\nRUN test -x /bin/busybox && echo used > /used\n`
const codeOf = (stderr: string) => /^code: (.*)$/m.exec(stderr)?.[1]
const blobs = () => registry.requests.filter(({ method, path }) => method === 'GET' && path.includes('/blobs/')).map(({ path }) => path)

/** busybox of the registry with another config, and its layers by another type. */
function serveAs(tag: string, change: (file: Record<string, unknown>) => object, mediaType?: string): string {
  const { config, layers, ...manifest } = JSON.parse(String(registry.documents.get('team/busybox:latest')?.bytes))
  const bytes = json(change(JSON.parse(String(registry.blobs.get(config.digest)))))
  registry.blobs.set(sha256(bytes), bytes)
  const typed = layers.map((layer: object) => ({ ...layer, ...(mediaType === undefined ? {} : { mediaType }) }))
  const changed = { ...manifest, config: { ...config, digest: sha256(bytes), size: bytes.length }, layers: typed }
  registry.addDocument('team/busybox', document(MediaType.ociManifest, changed), tag)
  return `${registry.host}/team/busybox:${tag}`
}

describe('a config that BuildKit takes', () => {
  // What docker 28.5 made of the same, but for the working directory, which it joins twice.
  test('entries without =, null values, no platform, foreign layers, a relative working directory', async () => {
    await serve()
    const config = { Env: ['PATH=/bin', 'FOO', '', '=x'], WorkingDir: 'rel/dir', Labels: { a: null }, Volumes: { '/v': null } }
    const foreign = 'application/vnd.oci.image.layer.nondistributable.v1.tar+gzip'
    const base = serveAs('odd', ({ rootfs }) => ({ rootfs, config }), foreign)
    const dest = workspace.path('odd.tar')
    const { stderr } = await build(
      `FROM ${base}\nRUN [ "\${FOO-unset}" = "" ] && pwd >/pwd\nCOPY --from=${base} /bin/busybox /copied\n`,
      '-o',
      `type=oci,dest=${dest}`,
    )
    expect([stderr, codeOf(stderr)]).toEqual([expect.not.stringContaining('WARN'), undefined])
    const image = readImage(dest)
    expect(String(applyLayers(image.layers).get('pwd')?.data)).toBe('/rel/dir\n')
    expect(image.config).toMatchObject({
      os: 'linux',
      config: { ...config, WorkingDir: '/rel/dir', Labels: { a: '' }, Volumes: { '/v': {} } },
    })
  })

  test('an alias of an architecture, names in another case, and no history', async () => {
    await serve()
    const base = serveAs('alias', ({ history: _, ...file }) => ({ ...file, architecture: 'X86_64', os: 'Linux' }))
    const dest = workspace.path('alias.tar')
    const { status, stderr } = await build(`FROM ${base}\nLABEL a=b\n`, '--platform', 'linux/amd64', '-o', `type=oci,dest=${dest}`)
    expect([status, stderr]).toEqual([0, expect.not.stringContaining('InvalidBaseImagePlatform')])
    const { config } = readImage(dest)
    expect(config).toMatchObject({ architecture: 'amd64', os: 'linux' })
    const pulled = { created_by: expect.stringMatching(`^pulled from ${base}@sha256:[0-9a-f]{64}$`), comment: 'buildkit.exporter.image.v0' }
    expect(config.history).toEqual([expect.objectContaining({ created_by: 'LABEL a=b' }), expect.objectContaining(pulled)])
  })
})

describe('a registry', () => {
  test('plain: manifest, config and layer are fetched once; a build from cache fetches nothing', async () => {
    await serve()
    const base = `${registry.host}/team/busybox:latest`
    expect((await build(USE(base))).status).toBe(0)
    const first = blobs()
    expect(first.length).toBe(2)
    expect(new Set(first).size).toBe(2)
    registry.requests.length = 0
    const again = await build(USE(base))
    expect(again.stderr).toContain('CACHED')
    expect(blobs()).toEqual([])
    registry.requests.length = 0
    expect((await build(`FROM ${base}\nRUN echo another > /used\n`)).status).toBe(0)
    expect(blobs()).toEqual([])
  })

  test('a base whose layers nothing needs is named, not fetched', async () => {
    await serve()
    const { status } = await build(`FROM ${registry.host}/team/busybox:latest\nLABEL a=1\n`)
    expect(status).toBe(0)
    expect(blobs().length).toBe(1)
  })

  test.each([
    ['basic', { auth: 'basic', users: { ann: 'secret' } }],
    ['bearer', { auth: 'bearer', users: { ann: 'secret' } }],
  ] as const)('%s auth from config.json; a wrong password is refused and not shown', async (_name, options) => {
    await serve(options)
    const base = `${registry.host}/team/busybox:latest`
    login('ann', 'wrong-password')
    const refused = await build(USE(base))
    expect(refused.status).toBe(1)
    expect(codeOf(refused.stderr)).toBe('REGISTRY_DENIED')
    expect(refused.stderr).not.toContain('wrong-password')
    login('ann', 'secret')
    expect((await build(USE(base))).status).toBe(0)
  })

  test('bearer auth without a login takes an anonymous token', async () => {
    await serve({ auth: 'bearer' })
    expect((await build(USE(`${registry.host}/team/busybox:latest`))).status).toBe(0)
  })

  test('--pull asks again and takes the new image; without it the tag is asked too, as BuildKit does', async () => {
    await serve()
    const base = `${registry.host}/team/busybox:latest`
    expect((await build(`FROM ${base}\nCOPY Dockerfile /\n`)).status).toBe(0)
    registry.requests.length = 0
    expect((await build(`FROM ${base}\nCOPY Dockerfile /\n`, '--pull')).status).toBe(0)
    expect(registry.requests.some(({ path }) => path.includes('/manifests/'))).toBe(true)
    expect(blobs()).toEqual([])
  })
})

test('the store: an image that an earlier build named, whose layers stay the same blobs', async () => {
  const first = workspace.path('first.tar')
  const second = workspace.path('second.tar')
  const base = ['--build-context', `busybox=oci-layout://${layout}`]
  expect((await build('FROM busybox\nRUN echo 1 > /one\nENV A=1\n', ...base, '-t', 'own:1', '-o', `type=oci,dest=${first}`)).status).toBe(0)
  const built = await build('FROM own:1\nRUN test $A = 1 && cat /one > /two\n', '-o', `type=oci,dest=${second}`)
  expect({ status: built.status, stderr: built.stderr }).toMatchObject({ status: 0 })
  const [below, above] = [readImage(first), readImage(second)]
  expect(above.config.rootfs.diff_ids.slice(0, 2)).toEqual(below.config.rootfs.diff_ids)
  expect(applyLayers(above.layers).get('two')?.data.toString()).toBe('1\n')
})

test('an OCI layout, by tag and by digest', async () => {
  for (const value of [`oci-layout://${layout}`, `oci-layout://${layout}:latest`]) {
    expect((await build(USE('base'), '--build-context', `base=${value}`)).status).toBe(0)
  }
  const wrong = await build(USE('base'), '--build-context', `base=oci-layout://${layout}:none`)
  expect(wrong.status).toBe(1)
  expect(codeOf(wrong.stderr)).toBe('IMAGE_NOT_FOUND')
})

test('a layer that does not have the diffID of its config is refused', async () => {
  await serve()
  const emptyTar = '\0'.repeat(1024)
  const rootfs = { type: 'layers', diff_ids: [`sha256:${'1'.repeat(64)}`] }
  const lying = makeImage({ layers: [emptyTar], config: { rootfs } })
  registry.addImage('lying', lying, '1')
  const { status, stderr } = await build(`FROM ${registry.host}/lying:1\nRUN true\n`)
  expect(status).toBe(1)
  expect(codeOf(stderr)).toBe('DIGEST_MISMATCH')
})
