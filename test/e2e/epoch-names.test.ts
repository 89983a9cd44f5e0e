import { afterAll, beforeAll, describe, expect, test } from '@jest/globals'
import { packTar } from '../support/pack-tar.ts'
import { git, type RemoteBuilds, remoteBuilds } from '../support/remote-builds.ts'
import { startWebServer, type WebServer } from '../support/web-server.ts'

// What SOURCE_DATE_EPOCH may name, as BuildKit 0.32 has it: dockerfile2llb/epoch.go.

let builds: RemoteBuilds
let web: WebServer
let repository = ''

beforeAll(async () => {
  builds = remoteBuilds()
  web = await startWebServer(builds.folder)
  const app = builds.files('app', { 'a.txt': 'a' })
  git(app, 'init', '-q')
  git(app, 'add', '.')
  git(app, 'commit', '-qm', 'one')
  git(builds.folder, 'clone', '-q', '--bare', 'app', 'app.git')
  repository = `${web.url}/git/app.git`
  web.files.set('/dated', { data: 'x', headers: { 'last-modified': 'Sun, 09 Sep 2001 01:46:41 GMT' } })
  web.files.set('/undated', { data: 'x' })
  web.files.set('/times.tar', { data: packTar([{ name: 'file', data: 'x', mtime: 1_000_000_002 }]) })
})

afterAll(async () => {
  await web.close()
  builds.remove()
})

const TARGET = 'FROM scratch\nCOPY Dockerfile /\n'

/** When the image of `stages` was made, with the epoch of that name; undefined is now. */
async function created(stages: string, epoch: string, more: { readonly buildContexts?: Record<string, string> } = {}) {
  const context = builds.files('names', { Dockerfile: stages + TARGET })
  const { config } = await builds.build({ context, buildArgs: { SOURCE_DATE_EPOCH: epoch }, ...more })
  return (config.created as string).startsWith('2001-09-09') ? config.created : undefined
}

describe('a stage with one remote source', () => {
  test.each([
    ['a repository: its commit', () => `FROM scratch AS t\nADD ${repository} /\n`, '2001-09-09T01:46:40Z'],
    ['a URL: Last-Modified', () => `FROM scratch AS t\nADD ${web.url}/dated /\n`, '2001-09-09T01:46:41Z'],
    ['an archive whose server says none: its newest file', () => `FROM scratch AS t\nADD ${web.url}/times.tar /\n`, '2001-09-09T01:46:42Z'],
    ['a file whose server says none: no epoch', () => `FROM scratch AS t\nADD ${web.url}/undated /\n`, undefined],
    ['ARGs, in any case', () => `FROM scratch AS T\nARG where=dated\nADD ${web.url}/$where /\n`, '2001-09-09T01:46:41Z'],
  ])('%s', async (_what, stages, expected) => {
    expect(await created(stages(), 't')).toBe(expected)
  })

  test('a RUN or ENV sees the time, not the name', async () => {
    const stages = `FROM scratch AS t\nADD ${web.url}/dated /\nFROM scratch\nARG SOURCE_DATE_EPOCH\nLABEL e=$SOURCE_DATE_EPOCH\nCOPY Dockerfile /\n`
    const { config } = await builds.build({ context: builds.files('seen', { Dockerfile: stages }), buildArgs: { SOURCE_DATE_EPOCH: 't' } })
    expect(config.config?.Labels).toEqual({ e: '1000000001' })
  })

  test('what has no time is not set, either', async () => {
    const stages = `ARG SOURCE_DATE_EPOCH=5\nFROM scratch AS t\nADD ${web.url}/undated /\nFROM scratch\nARG SOURCE_DATE_EPOCH\nLABEL e=\${SOURCE_DATE_EPOCH-unset}\n${TARGET.split('\n')[1]}\n`
    const { config } = await builds.build({ context: builds.files('unset', { Dockerfile: stages }), buildArgs: { SOURCE_DATE_EPOCH: 't' } })
    expect(config.config?.Labels).toEqual({ e: 'unset' })
  })

  test('its checksum is looked at although nothing else needs it', async () => {
    const add = `ADD --checksum=sha256:${'0'.repeat(64)} ${web.url}/dated /\n`
    const context = builds.files('sum', { Dockerfile: `FROM scratch AS t\n${add}${TARGET}` })
    expect((await builds.refusal({ context, buildArgs: { SOURCE_DATE_EPOCH: 't' } })).message).toMatch(/digest mismatch|checksum/)
  })

  test.each([
    ['FROM scratch AS t\nADD . /\n', 'SOURCE_DATE_EPOCH stage source must be a single HTTP(S) or Git ADD'],
    ['FROM scratch AS t\n', 'SOURCE_DATE_EPOCH stage must contain exactly one remote ADD'],
    ['FROM scratch AS t\nADD http://x/1 /\nADD http://x/2 /\n', 'SOURCE_DATE_EPOCH stage must contain exactly one remote ADD'],
    ['FROM scratch AS t\nADD http://x/1 http://x/2 /\n', 'SOURCE_DATE_EPOCH stage must contain exactly one remote ADD source'],
    ['FROM scratch AS t\nLABEL a=b\n', 'SOURCE_DATE_EPOCH stage does not meet source-only requirements: unsupported LABEL instruction'],
    ['FROM x AS t\nADD http://x/1 /\n', 'SOURCE_DATE_EPOCH stage must use FROM scratch'],
  ])('anything else is refused: %j', async (stages, message) => {
    const context = builds.files('wrong', { Dockerfile: stages + TARGET })
    const refusal = await builds.refusal({ context, buildArgs: { SOURCE_DATE_EPOCH: 't' } })
    expect([refusal.code, refusal.message]).toEqual(['EPOCH_STAGE', message])
  })
})

test('a named context: the time of a repository, of a URL; a directory has none; it comes before a stage', async () => {
  const buildContexts = { repo: repository, url: `${web.url}/times.tar`, dir: builds.folder }
  expect(await created('', 'repo', { buildContexts })).toBe('2001-09-09T01:46:40Z')
  expect(await created('', 'url', { buildContexts })).toBe('2001-09-09T01:46:42Z')
  expect(await created('', 'dir', { buildContexts })).toBeUndefined()
  expect(await created(`FROM scratch AS dir\nADD ${web.url}/dated /\n`, 'dir', { buildContexts })).toBeUndefined()
})

test('a name that nothing has, and a number that is no time', async () => {
  const context = builds.files('none', { Dockerfile: TARGET })
  for (const value of ['soon', '99999999999999999999']) {
    const { code, message } = await builds.refusal({ context, buildArgs: { SOURCE_DATE_EPOCH: value } })
    expect([code, message]).toEqual(['EPOCH_INVALID', `invalid SOURCE_DATE_EPOCH: ${value}`])
  }
})
