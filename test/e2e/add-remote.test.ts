import { createHash } from 'node:crypto'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals'
import { packTar } from '../support/pack-tar.ts'
import { cachedNames, git, listing, publish, type RemoteBuilds, remoteBuilds } from '../support/remote-builds.ts'
import { startWebServer, type WebServer } from '../support/web-server.ts'

let builds: RemoteBuilds
let web: WebServer
let commit = ''

beforeAll(async () => {
  builds = remoteBuilds()
  web = await startWebServer(builds.folder)
  const lib = builds.files('lib', { 'lib.txt': 'lib' })
  publish(lib)
  const app = builds.files('app', { 'a.txt': 'one', 'sub/b.txt': 'b', 'bin/x': '#!/bin/sh' })
  git(app, 'init', '-q')
  git(app, 'add', '.')
  git(app, 'update-index', '--chmod=+x', 'bin/x')
  git(app, 'commit', '-qm', 'one')
  git(app, 'tag', '-am', 'v1', 'v1')
  commit = git(app, 'rev-parse', 'HEAD')
  writeFileSync(join(app, 'a.txt'), 'two')
  git(app, 'submodule', '--quiet', 'add', '../lib.git', 'lib')
  git(app, 'commit', '-qam', 'two')
  git(builds.folder, 'clone', '-q', '--bare', 'app', 'app.git')
})

afterAll(async () => {
  await web.close()
  builds.remove()
})

const context = (line: string) => {
  const name = `context-${createHash('sha256').update(line).digest('hex').slice(0, 12)}`
  return { context: builds.files(name, { Dockerfile: `FROM scratch\n${line}\n` }) }
}
const add = async (line: string, more = {}) => builds.build({ ...context(line), ...more })
const refused = (line: string, more = {}) => builds.refusal({ ...context(line), ...more })

describe('ADD of a URL', () => {
  beforeAll(() => {
    web.files.set('/hello.txt', { data: 'hello', headers: { 'last-modified': 'Sun, 09 Sep 2001 01:46:40 GMT' } })
    web.files.set('/plain', { data: 'plain' })
    web.files.set('/', { data: 'root', headers: { 'content-disposition': 'attachment; filename="../../named.txt"' } })
    web.files.set('/a*b [1].txt', { data: 'wild' })
    web.files.set('/ctx.tar', { data: packTar([{ name: 'in/side.txt', data: 'unpacked', uid: 1234, gid: 55 }]) })
  })

  test('F30 is 0600, owned by root, and as old as Last-Modified says', async () => {
    const { tree } = await add(`ADD ${web.url}/hello.txt /d/`)
    expect(tree.get('d/hello.txt')).toMatchObject({ mode: 0o600, uid: 0, gid: 0, mtime: 1_000_000_000 })
  })

  test('F30 without Last-Modified is of 1970', async () => {
    expect((await add(`ADD ${web.url}/plain /`)).tree.get('plain')).toMatchObject({ mode: 0o600, mtime: 0 })
  })

  test('F30 a URL without a name gives a file without one, whatever name the server has for it', async () => {
    expect(listing((await add(`ADD ${web.url}/ /d/`)).tree)).toEqual(['d/', 'd/__unnamed__ root'])
    expect(listing((await add(`ADD ${web.url}/plain/.. /d/`)).tree)).toEqual(['d/', 'd/download root'])
    expect(listing((await add(`ADD ${web.url}/plain/../. /d/`)).tree)).toEqual(['d/', 'd/__unnamed__ root'])
  })

  test('F30 a destination that is a file names it', async () => {
    expect(listing((await add(`ADD ${web.url}/ /file`)).tree)).toEqual(['file root'])
  })

  test('a name that looks like a pattern is a name', async () => {
    expect(listing((await add(`ADD ${web.url}/a*b%20%5B1%5D.txt /d/`)).tree)).toEqual(['d/', 'd/a*b [1].txt wild'])
  })

  test('F30 an archive stays one; --unpack=true opens it, with its owners', async () => {
    expect([...(await add(`ADD ${web.url}/ctx.tar /d/`)).tree.keys()].sort()).toEqual(['d', 'd/ctx.tar'])
    const { tree } = await add(`ADD --unpack=true ${web.url}/ctx.tar /d/`)
    expect(tree.get('d/in/side.txt')).toMatchObject({ uid: 1234, gid: 55 })
  })

  test('F32 --checksum', async () => {
    const digest = createHash('sha256').update('hello').digest('hex')
    await add(`ADD --checksum=sha256:${digest} ${web.url}/hello.txt /d/`)
    expect((await refused(`ADD --checksum=sha256:${'0'.repeat(64)} ${web.url}/hello.txt /d/`)).code).toBe('DIGEST_MISMATCH')
    expect((await refused(`ADD --checksum=md5:00 ${web.url}/hello.txt /d/`)).code).toBe('DIGEST_INVALID')
    expect((await refused(`ADD --checksum=sha256:${digest} ${web.url}/hello.txt ${web.url}/plain /d/`)).code).toBe('CHECKSUM_SOURCES')
  })

  test('a status that is no success is an error', async () => {
    expect(await refused(`ADD ${web.url}/nope /`)).toMatchObject({ code: 'URL_FETCH_FAILED', message: expect.stringContaining('404') })
  })

  test('F31 an ETag is asked for, and nothing is fetched again; what changed is', async () => {
    web.files.set('/etag', { data: 'first', headers: { etag: '"1"' } })
    const line = `ADD ${web.url}/etag /`
    await add(line)
    web.requests.length = 0
    const { events } = await add(line)
    expect(web.requests).toEqual(['HEAD /etag 304'])
    expect(cachedNames(events)).toEqual(expect.arrayContaining([`[internal] load ${web.url}/etag`]))
    web.files.set('/etag', { data: 'second', headers: { etag: '"2"' } })
    expect(listing((await add(line)).tree)).toEqual(['etag second'])
  })

  test('F31 the copy after a fetch without ETag hits by content', async () => {
    const line = `ADD ${web.url}/plain /again`
    await add(line)
    web.requests.length = 0
    const { events } = await add(line)
    expect(web.requests).toEqual(['GET /plain 200'])
    expect(cachedNames(events).some((name) => name.includes('ADD'))).toBe(true)
  })

  test('a login is a secret of the host', async () => {
    web.files.set('/private', { data: 'private', authorization: 'Bearer hunter2' })
    const line = `ADD ${web.url}/private /`
    expect((await refused(line)).code).toBe('URL_FETCH_FAILED')
    const id = `HTTP_AUTH_TOKEN_${new URL(web.url).host}`
    const secrets = [{ id, source: { env: 'TOKEN' } }] as const
    expect(listing((await add(line, { secrets, environment: { TOKEN: 'hunter2\n' } })).tree)).toEqual(['private private'])
  })
})

describe('ADD of a repository (F33)', () => {
  const main = (suffix = '') => `${web.url}/git/app.git${suffix}`

  test('the default branch, with its submodules and without .git but for theirs, which are files', async () => {
    const { tree } = await add(`ADD ${main()} /r`)
    expect(listing(tree)).toEqual([
      'r/',
      expect.stringContaining('r/.gitmodules'),
      'r/a.txt two',
      'r/bin/',
      'r/bin/x #!/bin/sh',
      'r/lib/',
      'r/lib/.git gitdir: ../.git/modules/lib',
      'r/lib/lib.txt lib',
      'r/sub/',
      'r/sub/b.txt b',
    ])
  })

  test('modes are 644 and 755, whatever the umask', async () => {
    const before = process.umask(0o077)
    try {
      const { tree } = await add(`ADD ${main('#v1')} /modes`)
      const mode = (name: string) => tree.get(`modes/${name}`)?.mode.toString(8)
      expect([mode('a.txt'), mode('bin/x'), mode('bin'), mode('sub')]).toEqual(['644', '755', '755', '755'])
    } finally {
      process.umask(before)
    }
  })

  test.each([
    ['a tag', '#v1', ['r/', 'r/a.txt one', 'r/bin/', 'r/bin/x #!/bin/sh', 'r/sub/', 'r/sub/b.txt b']],
    ['a tag by query', '?tag=v1&subdir=sub', ['r/', 'r/b.txt b']],
    ['a subdirectory', '#main:sub', ['r/', 'r/b.txt b']],
    ['no submodules', '?branch=main&submodules=false&subdir=/', undefined],
  ])('%s', async (_, suffix, expected) => {
    const { tree } = await add(`ADD ${main(suffix)} /r`)
    if (expected === undefined) expect(tree.has('r/lib/lib.txt')).toBe(false)
    else expect(listing(tree)).toEqual(expected)
  })

  test('a commit, and a checksum that is a prefix of one', async () => {
    expect(listing((await add(`ADD ${main(`#${commit}`)} /r`)).tree)).toContain('r/a.txt one')
    await add(`ADD --checksum=${commit.slice(0, 7)} ${main('#v1')} /r`)
    const wrong = await refused(`ADD --checksum=${commit.slice(0, 7)} ${main()} /r`)
    expect(wrong).toMatchObject({ code: 'GIT_CHECKSUM', message: expect.stringMatching(/^expected checksum to match [0-9a-f]{7}, got /) })
  })

  test('--keep-git-dir leaves a repository that git reads', async () => {
    const { tree } = await add(`ADD --keep-git-dir ${main('#v1')} /r`)
    expect(tree.get('r/.git/HEAD')?.data.toString().trim()).toBe(commit)
    expect(tree.get('r/.git/refs/tags/v1')).toBeDefined()
    expect(tree.get('r/.git/config')?.data.toString()).toContain(`url = ${main()}`)
    expect([...tree.keys()].filter((name) => name.startsWith('r/.git/hooks'))).toEqual([])
  })

  test('mtime=commit', async () => {
    const { tree } = await add(`ADD ${main('?tag=v1&mtime=commit')} /times`)
    expect(tree.get('times/sub/b.txt')?.mtime).toBe(1_000_000_000)
  })

  test('K16 the same commit is neither fetched nor copied again; a new one is', async () => {
    const line = `ADD ${web.url}/git/moving.git /r`
    git(builds.folder, 'clone', '-q', '--bare', 'app', 'moving.git')
    await add(line)
    web.requests.length = 0
    const { events } = await add(line)
    // Only what the ref is now.
    expect(web.requests.filter((request) => request.startsWith('POST'))).toHaveLength(1)
    expect(cachedNames(events)).toContain(`[internal] load git source ${web.url}/git/moving.git`)
    writeFileSync(join(builds.folder, 'app', 'a.txt'), 'three')
    git(join(builds.folder, 'app'), 'commit', '-qam', 'three')
    git(join(builds.folder, 'app'), 'push', '-q', '../moving.git', 'main')
    expect(listing((await add(line)).tree)).toContain('r/a.txt three')
  })

  test('a server with the dumb protocol', async () => {
    git(join(builds.folder, 'lib.git'), 'update-server-info')
    web.dumb = true
    try {
      expect(listing((await add(`ADD ${web.url}/git/lib.git /r`)).tree)).toEqual(['r/', 'r/lib.txt lib'])
    } finally {
      web.dumb = false
    }
  })

  test('a login is a secret, and stays out of the image', async () => {
    web.gitAuthorization = `Basic ${Buffer.from('x-access-token:hunter2').toString('base64')}`
    try {
      const line = `ADD --keep-git-dir ${main('#v1')} /private`
      const secrets = [{ id: 'GIT_AUTH_TOKEN', source: { env: 'TOKEN' } }] as const
      const { tree } = await add(line, { secrets, environment: { ...process.env, TOKEN: 'hunter2' }, noCache: true })
      expect([...tree.values()].some(({ data }) => data.includes('hunter2') || data.includes('eC1hY2Nlc3M'))).toBe(false)
      // Another repository, so that nothing is known of it.
      expect((await refused(`ADD ${web.url}/git/lib.git#main /x`)).code).toBe('GIT_FAILED')
    } finally {
      web.gitAuthorization = undefined
    }
  })

  test.each([
    ['#nope', 'GIT_REF_NOT_FOUND', 'repository does not contain ref nope'],
    ['#main:none', 'GIT_SUBDIR', 'invalid subdir /none: no such directory: "none"'],
    ['?foo=1', 'GIT_REFERENCE', 'unexpected query "foo"'],
  ])('refuses %s', async (suffix, code, message) => {
    expect(await refused(`ADD ${main(suffix)} /r`)).toEqual({ code, message })
  })

  test('a repository that is not there', async () => {
    expect((await refused(`ADD ${web.url}/git/none.git /r`)).code).toBe('GIT_FAILED')
  })

  test('F33 github.com/x/y is a path', async () => {
    expect((await refused('ADD github.com/x/y /')).code).toBe('COPY_SOURCE_NOT_FOUND')
  })

  test('COPY takes no remote source', async () => {
    expect((await refused(`COPY ${main()} /`)).message).toBe("source can't be a git ref for COPY")
    expect((await refused(`COPY ${web.url}/plain /`)).message).toBe("source can't be a URL for COPY")
  })
})
