import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from '@jest/globals'
import { build } from '../../src/build.ts'
import type { BuildOptions } from '../../src/build-options.ts'
import { makeImage } from '../support/oci-image.ts'
import { startTestRegistry, type TestRegistry, type TestRegistryOptions } from '../support/registry-server.ts'

/** A build that is canceled at some moment of its talk with a registry says that, and not what the cut connection looks like. */
const image = makeImage({ layers: ['x'.repeat(100_000)] })
let registry: TestRegistry
let folder: string

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'tbuild-abort-'))
})
afterEach(async () => {
  await registry.close()
  rmSync(folder, { recursive: true })
})

async function canceled(dockerfile: string, at: RegExp, registryOptions: TestRegistryOptions, options: Partial<BuildOptions> = {}) {
  const controller = new AbortController()
  // Where there is a helper, that is the moment.
  const asked = setInterval(() => existsSync(join(folder, 'asked')) && controller.abort(new Error('enough')), 20)
  registry = await startTestRegistry({
    ...registryOptions,
    intercept: (request, response) => {
      if (!at.test(`${request.method} ${request.url}`)) return false
      // A part of the answer; to an upload none.
      if (request.method === 'GET') response.writeHead(200, { 'content-length': 100_000 }).write('{')
      setTimeout(() => controller.abort(new Error('enough')), 50)
      return true
    },
  })
  registry.addImage('team/app', image, 'v1')
  const context = join(folder, 'context')
  mkdirSync(context)
  writeFileSync(join(context, 'Dockerfile'), dockerfile.replaceAll('REGISTRY', registry.host))
  const tags = options.tags === undefined ? {} : { tags: options.tags.map((tag) => tag.replace('REGISTRY', registry.host)) }
  const environment = { HOME: folder, PATH: `${folder}:/usr/bin:/bin` }
  return build({ context, root: join(folder, 'store'), environment, ...options, ...tags }, { signal: controller.signal }).finally(() =>
    clearInterval(asked),
  )
}

test.each<[string, RegExp, string, TestRegistryOptions]>([
  ['the probe of the scheme', /GET \/v2\/$/, 'FROM REGISTRY/team/app:v1\nRUN true\n', {}],
  ['a manifest', /GET .*manifests/, 'FROM REGISTRY/team/app:v1\nRUN true\n', {}],
  ['a config or layer', /GET .*blobs/, 'FROM REGISTRY/team/app:v1\nRUN true\n', {}],
  ['a token', /GET \/token/, 'FROM REGISTRY/team/app:v1\nRUN true\n', { auth: 'bearer' }],
  ['a file of a URL', /GET \/file/, 'FROM scratch\nADD http://REGISTRY/file /\n', {}],
])('while %s is on its way', async (_what, at, dockerfile, options) => {
  await expect(canceled(dockerfile, at, options)).rejects.toMatchObject({ code: 'CANCELED', exitCode: 130 })
})

test.each(['basic', 'bearer'] as const)('while a credential helper is asked for a %s login', async (auth) => {
  writeFileSync(join(folder, 'docker-credential-slow'), '#!/bin/sh\n: > "$HOME/asked"\nexec sleep 20\n', { mode: 0o755 })
  mkdirSync(join(folder, '.docker'))
  writeFileSync(join(folder, '.docker/config.json'), '{"credsStore":"slow"}')
  const begun = Date.now()
  await expect(canceled('FROM REGISTRY/team/app:v1\n', /nothing/, { auth })).rejects.toMatchObject({ code: 'CANCELED', exitCode: 130 })
  expect(Date.now() - begun).toBeLessThan(15_000)
})

test('while a blob is sent', async () => {
  const outputs = [{ type: 'image', push: true }] as const
  const at = /PUT .*uploads/
  const pushed = canceled('FROM scratch\nCOPY Dockerfile /\n', at, {}, { outputs, tags: ['REGISTRY/team/new:1'] })
  await expect(pushed).rejects.toMatchObject({ code: 'CANCELED', exitCode: 130 })
})
