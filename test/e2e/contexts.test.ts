import { randomBytes } from 'node:crypto'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals'
import { compressed, packTar } from '../support/pack-tar.ts'
import { bytesOf, cachedNames, git, listing, publish, type RemoteBuilds, remoteBuilds } from '../support/remote-builds.ts'
import { startWebServer, type WebServer } from '../support/web-server.ts'

const ALL = 'FROM scratch\nCOPY . /\n'
let builds: RemoteBuilds
let web: WebServer
let repository = ''

const archive = packTar([
  { name: 'Dockerfile', data: ALL },
  { name: '.dockerignore', data: 'hidden.txt\n' },
  { name: 'a.txt', data: 'a', uid: 1234, gid: 55 },
  { name: 'hidden.txt', data: 'hidden' },
  { name: 'sub/Other', data: 'FROM scratch\nCOPY a.txt /other\n' },
])

beforeAll(async () => {
  builds = remoteBuilds()
  web = await startWebServer(builds.folder)
  const app = builds.files('app', {
    Dockerfile: ALL,
    '.dockerignore': 'hidden.txt\nsub\n',
    'a.txt': 'a',
    'hidden.txt': 'hidden',
    'sub/Dockerfile': 'FROM scratch\nCOPY *.txt /\n',
    'sub/b.txt': 'b',
    'special.Dockerfile': ALL,
    'special.Dockerfile.dockerignore': '*\n!a.txt\n',
  })
  publish(app)
  repository = `${web.url}/git/app.git`
  web.files.set('/ctx.tar', { data: archive, headers: { etag: '"ctx"', 'last-modified': 'Sun, 09 Sep 2001 01:46:40 GMT' } })
  web.files.set('/Df', { data: ALL })
})

afterAll(async () => {
  await web.close()
  builds.remove()
})

const copied = [
  '.dockerignore hidden.txt',
  expect.stringMatching(/^Dockerfile /),
  'a.txt a',
  'hidden.txt hidden',
  'sub/',
  expect.stringMatching(/^sub\/Other /),
]

describe('a tar as the context', () => {
  test.each(['none', 'gzip', 'bzip2', 'xz', 'zstd'])('D8 on standard input, compressed by %s', async (program) => {
    const data = program === 'none' ? archive : compressed(archive, program)
    if (data === undefined) return console.warn(`${program} is not installed here`)
    const { tree } = await builds.build({ context: '-', stdin: bytesOf(data) })
    // D5: an archive holds what its maker put into it, so its ignore file does not count; its owners do.
    expect(listing(tree)).toEqual(copied)
    expect(tree.get('a.txt')).toMatchObject({ uid: 1234, gid: 55 })
  })

  test.each(['none', 'gzip', 'bzip2', 'xz', 'zstd'])(
    'D8 garbage behind its end is read and means nothing; %s of many blocks',
    async (program) => {
      const large = packTar([
        { name: 'Dockerfile', data: 'FROM scratch\nCOPY a.txt /\n' },
        { name: 'a.txt', data: 'a' },
        { name: 'b', data: randomBytes(1_000_000).toString('hex') },
      ])
      const data = program === 'none' ? large : compressed(large, program)
      if (data === undefined) return console.warn(`${program} is not installed here`)
      let read = 0
      async function* stdin() {
        yield data as Buffer
        for (; read < 40; read += 1) yield randomBytes(100_000)
      }
      expect(listing((await builds.build({ context: '-', stdin: stdin() })).tree)).toEqual(['a.txt a'])
      expect(read).toBe(40)
    },
  )

  test('-f lies inside, also when it looks absolute', async () => {
    const { tree } = await builds.build({ context: '-', stdin: bytesOf(archive), file: 'sub/Other' })
    expect(listing(tree)).toEqual(['other a'])
    const outside = builds.files('outside', { Dockerfile: ALL })
    const absolute = await builds.refusal({ context: '-', stdin: bytesOf(archive), file: join(outside, 'Dockerfile') })
    expect(absolute.code).toBe('DOCKERFILE_NOT_FOUND')
  })

  test('by URL; unchanged, it is neither fetched nor unpacked again', async () => {
    expect(listing((await builds.build({ context: `${web.url}/ctx.tar` })).tree)).toEqual(copied)
    web.requests.length = 0
    const { events } = await builds.build({ context: `${web.url}/ctx.tar` })
    expect(web.requests).toEqual(['HEAD /ctx.tar 304'])
    expect(cachedNames(events)).toEqual(expect.arrayContaining(['[internal] load remote build context', 'copy /context /']))
  })

  test('SOURCE_DATE_EPOCH=context is the time of the newest file of an archive whose server says none', async () => {
    const data = packTar([
      { name: 'Dockerfile', data: 'FROM scratch\nWORKDIR /w\n', mtime: 1_600_000_000 },
      { name: 'folder/file', data: 'x', mtime: 1_700_000_000 },
    ])
    web.files.set('/times.tar', { data })
    const { tree } = await builds.build({ context: `${web.url}/times.tar`, buildArgs: { SOURCE_DATE_EPOCH: 'context' } })
    expect(tree.get('w')?.mtime).toBe(1_700_000_000)
  })
})

describe('repositories', () => {
  test('of SHA-256', async () => {
    const folder = builds.files('sha256', { Dockerfile: ALL, 'a.txt': 'a' })
    git(folder, 'init', '-q', '--object-format=sha256')
    git(folder, 'add', '.')
    git(folder, 'commit', '-qm', 'one')
    git(builds.folder, 'clone', '-q', '--bare', 'sha256', 'sha256.git')
    const { tree } = await builds.build({ context: `${web.url}/git/sha256.git?keep-git-dir=true` })
    expect([tree.has('a.txt'), tree.has('.git/HEAD')]).toEqual([true, true])
  })

  test('F32 a shortened commit is compared with what the default branch leads to', async () => {
    const commit = git(builds.folder, '--git-dir', 'app.git', 'rev-parse', 'HEAD').trim()
    const { tree } = await builds.build({ context: `${repository}?commit=${commit.slice(0, 8)}` })
    expect(tree.has('a.txt')).toBe(true)
    const other = await builds.refusal({ context: `${repository}?commit=${commit.startsWith('0') ? '1' : '0'}234567` })
    expect([other.code, other.message]).toEqual(['GIT_CHECKSUM', expect.stringContaining('expected checksum to match')])
  })
})

describe('a Dockerfile as the context', () => {
  test('D8 on standard input: there are no files', async () => {
    expect(listing((await builds.build({ context: '-', stdin: bytesOf(ALL) })).tree)).toEqual([])
    const both = await builds.refusal({ context: '-', stdin: bytesOf(ALL), file: 'x' })
    expect(both.message).toBe('ambiguous Dockerfile source: both stdin and flag correspond to Dockerfiles')
  })

  test('by URL: the only file is the Dockerfile, under the name `context`', async () => {
    const { tree } = await builds.build({ context: `${web.url}/Df` })
    expect(listing(tree)).toEqual([expect.stringMatching(/^context /)])
    expect(tree.get('context')?.mode).toBe(0o600)
  })

  test('a URL that answers with an error', async () => {
    expect((await builds.refusal({ context: `${web.url}/nope` })).code).toBe('URL_FETCH_FAILED')
  })
})

describe('a repository as the context', () => {
  test('with its ignore file (issue 3.5; BuildKit reads none)', async () => {
    const { tree, events } = await builds.build({ context: repository })
    expect([...tree.keys()].sort()).toEqual([
      '.dockerignore',
      'Dockerfile',
      'a.txt',
      'special.Dockerfile',
      'special.Dockerfile.dockerignore',
    ])
    expect(events).toContainEqual(expect.objectContaining({ type: 'vertex', name: `[internal] load git source ${repository}` }))
  })

  test('#ref:subdir is the context', async () => {
    expect(listing((await builds.build({ context: `${repository}#main:sub` })).tree)).toEqual(['b.txt b'])
  })

  test('D1 -f inside, with the ignore file next to it', async () => {
    expect(listing((await builds.build({ context: repository, file: 'special.Dockerfile' })).tree)).toEqual(['a.txt a'])
    expect((await builds.refusal({ context: repository, file: 'nope' })).message).toBe(
      'failed to read dockerfile: open nope: no such file or directory',
    )
  })

  test('an absolute -f is the caller’s, -f - standard input’s, -f URL the server’s', async () => {
    const local = builds.files('local', { Dockerfile: 'FROM scratch\nCOPY a.txt /local\n' })
    expect(listing((await builds.build({ context: repository, file: join(local, 'Dockerfile') })).tree)).toEqual(['local a'])
    const stdin = bytesOf('FROM scratch\nCOPY a.txt /stdin\n')
    expect(listing((await builds.build({ context: repository, file: '-', stdin })).tree)).toEqual(['stdin a'])
    web.files.set('/Remote', { data: 'FROM scratch\nCOPY a.txt /url\n' })
    expect(listing((await builds.build({ context: repository, file: `${web.url}/Remote` })).tree)).toEqual(['url a'])
  })

  test('BUILDKIT_CONTEXT_KEEP_GIT_DIR', async () => {
    const { tree } = await builds.build({ context: repository, buildArgs: { BUILDKIT_CONTEXT_KEEP_GIT_DIR: '1' } })
    expect(tree.has('.git/HEAD')).toBe(true)
  })

  test('SOURCE_DATE_EPOCH=context is the time of its commit', async () => {
    const context = `${repository}#main:sub`
    const { config } = await builds.build({ context, buildArgs: { SOURCE_DATE_EPOCH: 'context' } })
    expect(config.created).toBe('2001-09-09T01:46:40Z')
  })

  test('with an epoch its files have the time of the commit, without that of the checkout; the URL may say which', async () => {
    const time = async (context: string, epoch?: string) => {
      // The key of a COPY has no times.
      const { tree } = await builds.build({ context, noCache: true, ...(epoch && { buildArgs: { SOURCE_DATE_EPOCH: epoch } }) })
      return tree.get('a.txt')?.mtime
    }
    expect(await time(repository, '1700000000')).toBe(1_000_000_000)
    expect(await time(repository)).toBeGreaterThan(1_700_000_000)
    expect(await time(`${repository}?mtime=checkout`, '1700000000')).toBeGreaterThan(1_700_000_000)
  })

  test('an unchanged one is not fetched again', async () => {
    await builds.build({ context: repository })
    const { events } = await builds.build({ context: repository })
    expect(cachedNames(events)).toContain(`[internal] load git source ${repository}`)
  })
})

describe('D1 the Dockerfile of a directory', () => {
  test('from a URL', async () => {
    const context = builds.files('plain', { 'a.txt': 'a' })
    web.files.set('/One', { data: 'FROM scratch\nCOPY a.txt /one\n' })
    expect(listing((await builds.build({ context, file: `${web.url}/One` })).tree)).toEqual(['one a'])
  })

  test('from standard input, and from outside of the context with its own ignore file', async () => {
    const context = builds.files('ignoring', { '.dockerignore': 'a.txt\n', 'a.txt': 'a', 'b.txt': 'b' })
    const stdin = bytesOf('FROM scratch\nCOPY *.txt /\n')
    expect(listing((await builds.build({ context, file: '-', stdin })).tree)).toEqual(['b.txt b'])
    const outside = builds.files('outside-2', { Df: 'FROM scratch\nCOPY *.txt /\n', 'Df.dockerignore': 'b.txt\n' })
    expect(listing((await builds.build({ context, file: join(outside, 'Df') })).tree)).toEqual(['a.txt a'])
  })
})

describe('named contexts (G13)', () => {
  const from = (name = 'named') => builds.files(`from-${name}`, { Dockerfile: `FROM scratch\nCOPY --from=${name} / /d/\n` })

  test('D7 a directory, with its own ignore file', async () => {
    const named = builds.files('named', { '.dockerignore': 'b.txt\n', 'a.txt': 'a', 'b.txt': 'b' })
    const { tree } = await builds.build({ context: from(), buildContexts: { named } })
    expect(listing(tree)).toEqual(['d/', 'd/.dockerignore b.txt', 'd/a.txt a'])
  })

  test('an archive by URL is unpacked, a repository checked out', async () => {
    const tar = await builds.build({ context: from(), buildContexts: { named: `${web.url}/ctx.tar` } })
    expect(tar.tree.get('d/a.txt')).toMatchObject({ uid: 1234, gid: 55 })
    expect(tar.tree.has('d/hidden.txt')).toBe(false)
    const git = await builds.build({ context: from(), buildContexts: { named: `${repository}#main` } })
    expect(git.tree.has('d/a.txt')).toBe(true)
    expect(git.tree.has('d/hidden.txt')).toBe(false)
  })

  test('docker-image://scratch is empty', async () => {
    expect(listing((await builds.build({ context: from(), buildContexts: { named: 'docker-image://scratch' } })).tree)).toEqual(['d/'])
  })

  test('replaces a stage, and files are its base', async () => {
    const context = builds.files('stages', { Dockerfile: 'FROM scratch AS base\nCOPY nothing /\nFROM base\nCOPY Dockerfile /\n' })
    const { tree } = await builds.build({ context, buildContexts: { base: `${repository}#main:sub` } })
    expect([...tree.keys()].sort()).toEqual(['Dockerfile', 'b.txt'])
  })

  test('name::platform wins over name', async () => {
    const [plain, special] = [builds.files('p', { 'x.txt': 'plain' }), builds.files('s', { 'x.txt': 'special' })]
    const context = builds.files('pick', { Dockerfile: 'FROM scratch\nCOPY --from=n x.txt /\n' })
    const platforms = [{ os: 'linux', architecture: 's390x' }]
    const { tree } = await builds.build({ context, platforms, buildContexts: { n: plain, 'n::linux/s390x': special } })
    expect(listing(tree)).toEqual(['x.txt special'])
  })

  test('a directory that is not there is an error, needed or not', async () => {
    const context = builds.files('unneeded', { Dockerfile: ALL })
    expect((await builds.refusal({ context, buildContexts: { n: join(builds.folder, 'nowhere') } })).code).toBe('CONTEXT_NOT_FOUND')
  })
})

describe('the build context itself', () => {
  test('a path that is no directory', async () => {
    expect((await builds.refusal({ context: join(builds.folder, 'nowhere') })).code).toBe('CONTEXT_NOT_FOUND')
    writeFileSync(join(builds.folder, 'file'), '')
    expect((await builds.refusal({ context: join(builds.folder, 'file') })).code).toBe('CONTEXT_NOT_DIRECTORY')
  })
})
