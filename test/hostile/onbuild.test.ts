import { execFileSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from '@jest/globals'
import { sha256 } from '../../src/base/digest.ts'
import type { BuildEvent } from '../../src/base/events.ts'
import { build } from '../../src/build.ts'
import type { BuildOptions } from '../../src/build-options.ts'
import { MediaType } from '../../src/values/oci.ts'
import { script } from '../support/cli.ts'
import { document, json } from '../support/oci-image.ts'
import { startTestRegistry, type TestRegistry } from '../support/registry-server.ts'
import { startWebServer, type WebServer } from '../support/web-server.ts'

/** Triggers of a base image: its publisher wrote them, not the caller. */
let registry: TestRegistry
let web: WebServer
let folder = ''
let count = 0
const SECRET = 'open-sesame'
beforeAll(async () => {
  registry = await startTestRegistry()
  registry.addLayout('library/busybox', script('busybox-layout.mjs').stdout.trim())
  folder = mkdtempSync(join(tmpdir(), 'tbuild-onbuild-'))
  web = await startWebServer(join(folder, 'repositories'))
  writeFileSync(join(folder, 'secret'), SECRET)
}, 300_000)
afterAll(async () => {
  await registry.close()
  await web.close()
  rmSync(folder, { recursive: true, force: true })
}, 60_000)

/** busybox with these triggers in its config, whoever may have written them. */
function baseWith(...onBuild: string[]): string {
  const manifest = JSON.parse(String(registry.documents.get('library/busybox:latest')?.bytes))
  const config = JSON.parse(String(registry.blobs.get(manifest.config.digest)))
  const bytes = json({ ...config, config: { ...config.config, OnBuild: onBuild } })
  registry.blobs.set(sha256(bytes), bytes)
  const changed = { ...manifest, config: { ...manifest.config, digest: sha256(bytes), size: bytes.length } }
  const name = `base-${++count}`
  registry.addDocument('library/busybox', document(MediaType.ociManifest, changed), name)
  return `${registry.host}/library/busybox:${name}`
}

/** The content of /got in the result, and what was told. */
async function run(dockerfile: string, options: Partial<BuildOptions> = {}) {
  const place = join(folder, `build-${++count}`)
  mkdirSync(join(place, 'context'), { recursive: true })
  writeFileSync(join(place, 'context/Dockerfile'), dockerfile)
  const notices: string[] = []
  const onEvent = (event: BuildEvent) => event.type === 'notice' && notices.push(event.message)
  const dest = join(place, 'files')
  const given = { context: join(place, 'context'), root: join(place, 'store'), environment: { HOME: folder } }
  const secrets = ['s', 'GIT_AUTH_TOKEN', `HTTP_AUTH_TOKEN_${new URL(web.url).host}`].map((id) => ({
    id,
    source: { file: join(folder, 'secret') },
  }))
  await build({ ...given, secrets, outputs: [{ type: 'local', dest }], ...options }, { onEvent })
  return { got: readFileSync(join(dest, 'got'), 'utf8'), notices }
}

const READ = 'RUN --mount=type=secret,id=s cat /run/secrets/s >/got 2>/dev/null || echo -n nothing >/got'
// biome-ignore lint/suspicious/noTemplateCurlyInString: the shell expands it
const READ_ENV = 'RUN --mount=type=secret,id=s,env=S echo -n "${S:-nothing}" >/got'

test.each([READ, READ_ENV])('a secret is not given to a base image’s ONBUILD: %s', async (trigger) => {
  const base = baseWith(trigger)
  const { got, notices } = await run(`FROM ${base}\n`)
  expect(got).toBe('nothing')
  expect(notices).toEqual([expect.stringMatching(/ONBUILD.*secret "s".*--allow onbuild\.secrets/)])
  const root = join(folder, `store-${count}`)
  expect((await run(`FROM ${base}\n`, { root })).got).toBe('nothing')
  // What ran without it is no answer to a build that gives it.
  expect((await run(`FROM ${base}\n`, { root, allow: ['onbuild.secrets'] })).got).toBe(SECRET)
})

test('a secret that the trigger requires is an error at the FROM before anything runs', async () => {
  const base = baseWith('RUN true', READ.replace('id=s', 'id=s,required'))
  await expect(run(`FROM scratch AS first\nFROM ${base}\n`)).rejects.toMatchObject({
    code: 'ENTITLEMENT',
    message: expect.stringMatching(/onbuild\.secrets is not allowed: .*busybox:base-\d+.* secret "s"/),
    hint: expect.stringContaining('--allow onbuild.secrets'),
    span: { start: { line: 2 } },
  })
  expect((await run(`FROM ${base}\n`, { allow: ['onbuild.secrets'] })).got).toBe(SECRET)
})

test('an agent is not given to it either, and neither privilege brings the other', async () => {
  const socket = 'RUN --mount=type=ssh test -S "$SSH_AUTH_SOCK" && echo -n socket >/got || echo -n nothing >/got'
  const base = baseWith(socket)
  const key = join(folder, 'key')
  execFileSync('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-f', key])
  const ssh = [{ id: 'default', paths: [key] }]
  expect((await run(`FROM ${base}\n`, { ssh, allow: ['onbuild.secrets'] })).got).toBe('nothing')
  expect((await run(`FROM ${base}\n`, { ssh, allow: ['onbuild.ssh'] })).got).toBe('socket')
  const required = baseWith(socket.replace('type=ssh', 'type=ssh,required'))
  await expect(run(`FROM ${required}\n`, { ssh })).rejects.toMatchObject({
    code: 'ENTITLEMENT',
    message: expect.stringContaining('onbuild.ssh'),
  })
})

test('a stage’s own ONBUILD is the Dockerfile’s, and so are its instructions on such a base', async () => {
  expect((await run(`FROM ${baseWith()} AS own\nONBUILD ${READ}\nFROM own\n`)).got).toBe(SECRET)
  expect((await run(`FROM ${baseWith(READ)}\n${READ_ENV}\n`)).got).toBe(SECRET)
})

test('a trigger of the base in a stage that another is FROM gets none', async () => {
  expect((await run(`FROM ${baseWith(READ)} AS one\nFROM one\n`)).got).toBe('nothing')
})

test('a base that a named context names is nobody’s Dockerfile', async () => {
  const buildContexts = { base: `docker-image://${baseWith(READ)}` }
  expect((await run('FROM base\n', { buildContexts })).got).toBe('nothing')
})

test('no login goes to where a trigger’s ADD fetches from', async () => {
  web.files.set('/got', { data: 'from the web', authorization: `Bearer ${SECRET}` })
  const base = baseWith(`ADD ${web.url}/got /`)
  await expect(run(`FROM ${base}\n`)).rejects.toMatchObject({ code: 'URL_FETCH_FAILED', message: expect.stringContaining('401') })
  expect((await run(`FROM ${base}\n`, { allow: ['onbuild.secrets'] })).got).toBe('from the web')
  // The same URL in the Dockerfile itself gets its login: a source of its own.
  await expect(run(`FROM ${base}\nADD ${web.url}/got /\n`)).rejects.toMatchObject({ code: 'URL_FETCH_FAILED' })
  expect((await run(`FROM ${baseWith()}\nADD ${web.url}/got /\n`)).got).toBe('from the web')
})

test('nor does that of git', async () => {
  const repository = join(folder, 'repositories/private.git')
  const git = (...args: string[]) =>
    execFileSync('git', ['-c', 'user.name=a', '-c', 'user.email=a@b', '-C', repository, ...args], { stdio: 'pipe' })
  mkdirSync(repository, { recursive: true })
  git('init', '-q')
  writeFileSync(join(repository, 'got'), 'from git')
  git('add', '.')
  git('commit', '-qm', 'one')
  web.gitAuthorization = `Basic ${Buffer.from(`x-access-token:${SECRET}`).toString('base64')}`
  const base = baseWith(`ADD ${web.url}/git/private.git /`)
  await expect(run(`FROM ${base}\n`)).rejects.toMatchObject({ code: 'GIT_FAILED' })
  expect((await run(`FROM ${base}\n`, { allow: ['onbuild.secrets'] })).got).toBe('from git')
})

test.each([
  ['ONBUILD RUN true', /Chaining ONBUILD via `ONBUILD ONBUILD` isn't allowed/],
  ['onbuild add a /', /Chaining ONBUILD/],
  ['FROM scratch', /FROM isn't allowed as an ONBUILD trigger/],
])('a trigger that no Dockerfile can write is refused: %s', async (trigger, message) => {
  await expect(run(`FROM ${baseWith(trigger)}\n`)).rejects.toMatchObject({
    code: 'DOCKERFILE_SYNTAX',
    message: expect.stringMatching(message),
    span: { file: { name: 'Dockerfile' }, start: { line: 1 } },
  })
})

test('MAINTAINER in a base’s triggers is taken, as BuildKit takes it', async () => {
  expect((await run(`FROM ${baseWith('MAINTAINER me', 'RUN echo -n built >/got')}\n`)).got).toBe('built')
})
