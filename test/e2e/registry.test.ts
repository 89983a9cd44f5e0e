import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, describe, expect, test } from '@jest/globals'
import { build } from '../../src/build.ts'
import type { BuildOptions } from '../../src/build-options.ts'
import { tbuildAsync } from '../support/cli.ts'
import { makeImage } from '../support/oci-image.ts'
import { type Intercept, send, startTestRegistry, type TestRegistry, type TestRegistryOptions } from '../support/registry-server.ts'
import { openWorkspace, type Workspace } from '../support/workspace.ts'

const image = makeImage({ layers: [] })
let registry: TestRegistry
let space: Workspace
let folder = ''
beforeAll(() => {
  space = openWorkspace()
  folder = mkdtempSync(join(tmpdir(), 'tbuild-registry-'))
}, 300_000)
afterEach(() => registry.close())
afterAll(() => {
  space.remove()
  rmSync(folder, { recursive: true, force: true })
})

async function start(options: TestRegistryOptions = {}): Promise<void> {
  registry = await startTestRegistry(options)
  registry.addImage('team/app', image, 'v1')
}

/** A server that keeps what it has of a connection for forty seconds, and how long the process lives. */
describe('no server decides how long the process lives', () => {
  async function run(dockerfile: string, args: readonly string[] = [], options: TestRegistryOptions = {}) {
    await start({ keepAlive: 40_000, ...options })
    const context = space.context({ Dockerfile: dockerfile.replaceAll('REGISTRY', registry.host) })
    const begun = Date.now()
    const all = ['--root', space.store, '--progress', 'plain', ...args.map((arg) => arg.replaceAll('REGISTRY', registry.host)), context]
    const { status, stderr } = await tbuildAsync(all, { DOCKER_CONFIG: folder })
    return { status, stderr, seconds: (Date.now() - begun) / 1000 }
  }
  const FROM = 'FROM REGISTRY/team/app:v1\nLABEL a=b\n'
  /** As much as fits into the pipe, and then nothing. */
  const withoutEnd = (response: ServerResponse, status = 200, headers: Record<string, string> = {}) => {
    response.writeHead(status, headers)
    response.write('x'.repeat(200_000))
  }
  const when =
    (path: RegExp, answer: (response: ServerResponse, request: IncomingMessage) => void): Intercept =>
    (request, response) => {
      if (!path.test(request.url ?? '')) return false
      answer(response, request)
      return true
    }

  test.each<[string, string, string, readonly string[], TestRegistryOptions]>([
    ['a refused realm', 'REGISTRY_REALM_REFUSED', FROM, [], { auth: 'bearer', challenge: 'Bearer realm="http://10.0.0.1/token"' }],
    [
      'a token server that says no, at length',
      'REGISTRY_DENIED',
      FROM,
      [],
      { auth: 'bearer', intercept: when(/^\/token/, (response) => withoutEnd(response, 403)) },
    ],
    ['a tag that is missing', 'IMAGE_NOT_FOUND', 'FROM REGISTRY/team/app:v9\n', [], {}],
    [
      'a redirect that is refused',
      'REGISTRY_REDIRECT_REFUSED',
      FROM,
      [],
      { intercept: when(/blobs/, (response) => withoutEnd(response, 302, { location: 'ftp://x/' })) },
    ],
    [
      'a file of a URL that is refused',
      'URL_FETCH_FAILED',
      'FROM scratch\nADD http://REGISTRY/file /\n',
      [],
      { intercept: when(/file/, (response) => withoutEnd(response, 404)) },
    ],
    [
      'a file of a URL beside one that does not end',
      'URL_FETCH_FAILED',
      'FROM scratch AS a\nADD http://REGISTRY/endless /\nFROM scratch\nADD http://REGISTRY/gone /\nCOPY --from=a / /\n',
      [],
      { intercept: when(/endless/, (response) => withoutEnd(response)) },
    ],
    [
      'a push that is refused beside uploads that do not end',
      'REGISTRY_REFUSED',
      'FROM scratch\nCOPY Dockerfile /a\nCOPY Dockerfile /b\n',
      ['-t', 'REGISTRY/team/new:1', '--push'],
      {
        intercept: when(/uploads/, (response, request) => {
          if (registry.requests.filter(({ method }) => method === 'POST').length === 3 && request.method === 'POST') send(response, 400, {})
        }),
      },
    ],
  ])('%s', async (_what, code, dockerfile, args, options) => {
    const { status, stderr, seconds } = await run(dockerfile, args, options)
    expect(stderr).toMatch(new RegExp(`^code: ${code}$`, 'm'))
    expect(status).toBe(1)
    expect(seconds).toBeLessThan(25)
  })

  test('a build that succeeds', async () => {
    const { status, seconds } = await run(FROM, ['--cache-from', 'REGISTRY/team/none:1', '-t', 'REGISTRY/team/new:1', '--push'])
    expect(status).toBe(0)
    expect(seconds).toBeLessThan(25)
  })
})

describe("the library's options.environment, and not the process's, has the logins", () => {
  const before = process.env.DOCKER_CONFIG
  afterEach(() => {
    if (before === undefined) delete process.env.DOCKER_CONFIG
    else process.env.DOCKER_CONFIG = before
  })

  /** A folder for DOCKER_CONFIG with this login of the registry. */
  function dockerConfig(name: string, login: string): string {
    const path = join(folder, name)
    mkdirSync(path, { recursive: true })
    const auths = { [registry.host]: { auth: Buffer.from(login).toString('base64') } }
    writeFileSync(join(path, 'config.json'), JSON.stringify({ auths }))
    return path
  }
  const run = (name: string, environment: Record<string, string>, options: Partial<BuildOptions> = {}) =>
    build({
      context: space.context({ Dockerfile: `FROM ${registry.host}/team/app:v1\nLABEL name=${name}\n` }),
      ...{ root: space.path(name), environment, ...options },
    })

  test('for FROM, a push and caches', async () => {
    await start({ auth: 'basic', users: { ann: 'secret' } })
    process.env.DOCKER_CONFIG = dockerConfig('wrong', 'ann:wrong')
    const { tags } = await run(
      'given',
      { DOCKER_CONFIG: dockerConfig('right', 'ann:secret') },
      {
        tags: [`${registry.host}/team/new:1`],
        outputs: [{ type: 'image', push: true }],
        cacheTo: [{ type: 'registry', ref: `${registry.host}/team/cache:1` }],
        cacheFrom: [{ type: 'registry', ref: `${registry.host}/team/cache:1` }],
      },
    )
    expect(tags).toEqual([`${registry.host}/team/new:1`])
    expect([...registry.documents.keys()]).toEqual(expect.arrayContaining(['team/new:1', 'team/cache:1']))
  })

  test('an environment without a login has none', async () => {
    await start({ auth: 'basic', users: { ann: 'secret' } })
    process.env.DOCKER_CONFIG = dockerConfig('right', 'ann:secret')
    await expect(run('empty', { HOME: space.path('nobody') })).rejects.toMatchObject({
      code: 'REGISTRY_DENIED',
      message: expect.stringMatching(/with no credentials$/),
    })
    expect(registry.requests.filter(({ authorization }) => authorization !== undefined)).toEqual([])
  })
})
