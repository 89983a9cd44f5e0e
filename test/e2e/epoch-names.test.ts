import { gzipSync } from 'node:zlib'
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals'
import { sha256 } from '../../src/base/digest.ts'
import { encodeEntry } from '../../src/tar/write.ts'
import { packTar } from '../support/pack-tar.ts'
import { publish, type RemoteBuilds, remoteBuilds } from '../support/remote-builds.ts'
import { startWebServer, type WebServer } from '../support/web-server.ts'

// What SOURCE_DATE_EPOCH may name, as BuildKit 0.32 has it: dockerfile2llb/epoch.go.

let builds: RemoteBuilds
let web: WebServer
let repository = ''

beforeAll(async () => {
  builds = remoteBuilds()
  web = await startWebServer(builds.folder)
  const app = builds.files('app', { 'a.txt': 'a' })
  publish(app)
  repository = `${web.url}/git/app.git`
  web.files.set('/dated', { data: 'x', headers: { 'last-modified': 'Sun, 09 Sep 2001 01:46:41 GMT' } })
  web.files.set('/undated', { data: 'x' })
  const times = packTar([
    { name: 'file', data: 'x', mtime: 1_000_000_002 },
    { name: 'link', linkname: 'file', mtime: 1_000_000_003 },
  ])
  web.files.set('/times.tar', { data: times })
  // A file below a file, which no tree can hold: its headers are good.
  const below = packTar([
    { name: 'file', data: 'x', mtime: 1_000_000_004 },
    { name: 'file/below', data: 'x' },
    { name: 'file/../../out', data: 'x' },
  ])
  web.files.set('/below.tar', { data: below })
  web.files.set('/bomb.tar.gz', { data: gzipSync(packTar([{ name: 'file', data: '0'.repeat(1 << 20) }])) })
  const member = { mode: 0o644, uid: 0, gid: 0, size: 0, mtime: 1_000_000_006 }
  const file = encodeEntry({ ...member, name: Buffer.from('file'), type: 'file' })
  const link = encodeEntry({ ...member, name: Buffer.from('link'), type: 'link', linkname: Buffer.from('file'), mtime: 1_000_000_007 })
  web.files.set('/link.tar', { data: Buffer.concat([...file, ...link, Buffer.alloc(1024)]) })
  const far = encodeEntry({ ...member, name: Buffer.from('file'), type: 'file', mtime: 9_000_000_000_000 })
  web.files.set('/far.tar', { data: Buffer.concat([...far, Buffer.alloc(1024)]) })
  web.files.set('/cut.tar', { data: times.subarray(0, 1100) })
  web.files.set('/cut.tar.gz', { data: gzipSync(times).subarray(0, -20) })
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
    [
      'an archive that cannot be unpacked: what its headers say',
      () => `FROM scratch AS t\nADD ${web.url}/below.tar /\n`,
      '2001-09-09T01:46:44Z',
    ],
    ['a hard link is a file of its own time', () => `FROM scratch AS t\nADD ${web.url}/link.tar /\n`, '2001-09-09T01:46:47Z'],
    ['an archive that ends too soon: no epoch', () => `FROM scratch AS t\nADD ${web.url}/cut.tar /\n`, undefined],
    ['one that cannot be decompressed: no epoch', () => `FROM scratch AS t\nADD ${web.url}/cut.tar.gz /\n`, undefined],
    ['a checksum', () => `FROM scratch AS t\nADD --checksum=${sha256(Buffer.from('x'))} ${web.url}/dated /\n`, '2001-09-09T01:46:41Z'],
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

  test('… and when the URL is the context, too', async () => {
    web.files.set('/context.tar', {
      data: packTar([
        { name: 'Dockerfile', data: `FROM scratch AS t\nADD --checksum=sha256:${'0'.repeat(64)} ${web.url}/context.tar /\n${TARGET}` },
      ]),
    })
    const refusal = await builds.refusal({ context: `${web.url}/context.tar`, buildArgs: { SOURCE_DATE_EPOCH: 't' } })
    expect(refusal.message).toMatch(/digest mismatch|checksum/)
  })

  test.each([
    ['an archive of more bytes than may be unpacked', 'bomb.tar.gz', 'TAR_LIMIT'],
    ['a time that no date can show', 'far.tar', 'EPOCH_INVALID'],
  ])('%s is refused', async (_what, name, code) => {
    const context = builds.files(name, { Dockerfile: `FROM scratch AS t\nADD ${web.url}/${name} /\n${TARGET}` })
    const refusal = await builds.refusal({ context, buildArgs: { SOURCE_DATE_EPOCH: 't' }, limits: { unpack: 1 << 16 } })
    expect(refusal.code).toBe(code)
  })

  test('an archive for it is not unpacked', async () => {
    const context = builds.files('once', { Dockerfile: `FROM scratch AS t\nADD ${web.url}/times.tar /\n${TARGET}` })
    const { events } = await builds.build({ context, buildArgs: { SOURCE_DATE_EPOCH: 't' } })
    const names = events.flatMap((event) => (event.type === 'vertex' ? [event.name] : []))
    expect(names.filter((name) => /times|^copy/.test(name))).toEqual([`[internal] resolve SOURCE_DATE_EPOCH source ${web.url}/times.tar`])
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

test('the context: the time of an archive, named by the Dockerfile, too', async () => {
  const files = (first: string) => [{ name: 'Dockerfile', data: `${first}FROM scratch\nCOPY Dockerfile /\n`, mtime: 1_000_000_005 }]
  web.files.set('/main.tar', { data: packTar(files('')) })
  web.files.set('/own.tar', { data: packTar(files('ARG SOURCE_DATE_EPOCH=context\n')) })
  const given = await builds.build({ context: `${web.url}/main.tar`, buildArgs: { SOURCE_DATE_EPOCH: 'context' } })
  const own = await builds.build({ context: `${web.url}/own.tar` })
  expect([given.config.created, own.config.created]).toEqual(['2001-09-09T01:46:45Z', '2001-09-09T01:46:45Z'])
})

test('a number of more than 64 bits is a name', async () => {
  const buildContexts = { '99999999999999999999': `${web.url}/times.tar` }
  expect(await created('', '99999999999999999999', { buildContexts })).toBe('2001-09-09T01:46:42Z')
})

test('a name that no context can have', async () => {
  const refusal = await builds.refusal({ context: builds.files('none', { Dockerfile: TARGET }), buildArgs: { SOURCE_DATE_EPOCH: ' 5' } })
  expect([refusal.code, refusal.message]).toEqual(['EPOCH_INVALID', 'invalid context name  5: invalid reference format'])
})

test('a name that nothing has, and a number that is no time', async () => {
  const context = builds.files('none', { Dockerfile: TARGET })
  for (const value of ['soon', '9999999999999999', '99999999999999999999']) {
    const { code, message } = await builds.refusal({ context, buildArgs: { SOURCE_DATE_EPOCH: value } })
    expect([code, message]).toEqual(['EPOCH_INVALID', `invalid SOURCE_DATE_EPOCH: ${value}`])
  }
})
