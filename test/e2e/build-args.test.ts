import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals'
import { build } from '../../src/build.ts'
import type { BuildOptions } from '../../src/build-options.ts'
import { check } from '../../src/inquiry.ts'
import { plan } from '../../src/plan.ts'
import { publish, type RemoteBuilds, remoteBuilds } from '../support/remote-builds.ts'
import { startWebServer, type WebServer } from '../support/web-server.ts'

let builds: RemoteBuilds
let web: WebServer
let context = ''

beforeAll(async () => {
  builds = remoteBuilds()
  web = await startWebServer(builds.folder)
  context = builds.files('app', { Dockerfile: 'FROM scratch\nCOPY . /\n' })
  publish(context)
})

afterAll(async () => {
  await web.close()
  builds.remove()
})

/** `--build-arg NAME`, the value in the environment. */
const named = (name: string, value: string): Pick<BuildOptions, 'buildArgs' | 'environment'> => ({
  buildArgs: { [name]: undefined },
  environment: { ...process.env, [name]: value },
})

describe('A10 an argument without a value has that of the environment, for everybody who asks for it', () => {
  test('BUILDKIT_SYNTAX', async () => {
    const options = { context, ...named('BUILDKIT_SYNTAX', 'example.com/other') }
    const refused = { code: 'FRONTEND_UNSUPPORTED' }
    expect(await builds.refusal(options)).toMatchObject(refused)
    const root = join(builds.folder, 'asked')
    await expect(check({ ...options, root })).rejects.toMatchObject(refused)
    await expect(plan({ ...options, root })).rejects.toMatchObject(refused)
  })

  test('BUILDKIT_MULTI_PLATFORM', async () => {
    const mediaType = async (name: string, options: Partial<BuildOptions>) => {
      const dest = join(builds.folder, name)
      await build({ context, root: join(builds.folder, 'store'), ...options, outputs: [{ type: 'oci', dest, tar: false }] })
      return JSON.parse(readFileSync(join(dest, 'index.json'), 'utf8')).manifests[0].mediaType
    }
    expect(await mediaType('one', { buildArgs: { BUILDKIT_MULTI_PLATFORM: undefined } })).toContain('manifest')
    expect(await mediaType('index', named('BUILDKIT_MULTI_PLATFORM', '1'))).toContain('index')
  })

  test('BUILDKIT_CONTEXT_KEEP_GIT_DIR', async () => {
    const { tree } = await builds.build({ context: `${web.url}/git/app.git`, ...named('BUILDKIT_CONTEXT_KEEP_GIT_DIR', '1') })
    expect(tree.has('.git/HEAD')).toBe(true)
  })

  test('an argument without a name is refused', async () => {
    expect(await builds.refusal({ context, buildArgs: { '': 'x' } })).toMatchObject({ code: 'BUILD_ARG' })
    await expect(check({ context, buildArgs: { '': 'x' } })).rejects.toMatchObject({ code: 'BUILD_ARG' })
  })
})
