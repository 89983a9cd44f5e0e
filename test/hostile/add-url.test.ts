import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals'
import { packTar } from '../support/pack-tar.ts'
import { bytesOf, listing, type RemoteBuilds, remoteBuilds } from '../support/remote-builds.ts'
import { startWebServer, type WebServer } from '../support/web-server.ts'

let builds: RemoteBuilds
let web: WebServer
let count = 0

beforeAll(async () => {
  builds = remoteBuilds()
  web = await startWebServer(builds.folder)
})

afterAll(async () => {
  await web.close()
  builds.remove()
})

const context = (line: string) => {
  count += 1
  return builds.files(`context-${count}`, { Dockerfile: `FROM scratch\n${line}\n` })
}

describe('a hostile server', () => {
  test.each(['../../x', '/etc/passwd', '..', 'a\\\\b'])('Content-Disposition %s names no file', async (filename) => {
    web.files.set('/', { data: 'x', headers: { 'content-disposition': `attachment; filename="${filename}"` } })
    expect(listing((await builds.build({ context: context(`ADD ${web.url}/ /d/`) })).tree)).toEqual(['d/', 'd/__unnamed__ x'])
  })

  test.each(['/a%2Fb', '/%2e%2e%2fescape', '/..%2f..%2fescape'])(
    'a path with hidden slashes %s stays below the destination',
    async (path) => {
      web.files.set(decodeURIComponent(path), { data: 'x' })
      const { tree } = await builds.build({ context: context(`ADD ${web.url}${path} /d/`) })
      expect([...tree.keys()].filter((name) => name !== 'd')).toEqual([expect.stringMatching(/^d\/[^/]+$/)])
    },
  )

  test.each(['http://169.254.169.254/latest/', 'http://[::]/', 'file:///etc/passwd', 'gopher://x/'])(
    'a redirect to %s is refused',
    async (location) => {
      web.files.set('/redirect', { data: '', status: 302, headers: { location } })
      expect((await builds.refusal({ context: context(`ADD ${web.url}/redirect /`) })).code).toBe('URL_REFUSED')
    },
  )

  test('an endless redirect', async () => {
    web.files.set('/loop', { data: '', status: 302, headers: { location: '/loop' } })
    expect((await builds.refusal({ context: context(`ADD ${web.url}/loop /`) })).code).toBe('URL_REFUSED')
  })

  test('a login of the URL’s host is not sent to another', async () => {
    const other = await startWebServer(builds.folder)
    try {
      other.files.set('/there', { data: 'public', authorization: 'Bearer hunter2' })
      web.files.set('/away', { data: '', status: 302, headers: { location: `${other.url}/there` } })
      const secrets = [{ id: `HTTP_AUTH_TOKEN_${new URL(web.url).host}`, source: { env: 'TOKEN' } }] as const
      const away = await builds.refusal({ context: context(`ADD ${web.url}/away /`), secrets, environment: { TOKEN: 'hunter2' } })
      expect(away.message).toContain('401')
    } finally {
      await other.close()
    }
  })
})

describe('a hostile archive as the context', () => {
  test('CVE-2026-44517: its Dockerfile is no file of the builder', async () => {
    const outside = join(builds.folder, 'outside')
    writeFileSync(outside, 'FROM scratch\nCOPY . /\n')
    for (const linkname of [outside, `../../../../../../../..${outside}`, '/proc/self/environ']) {
      const stdin = bytesOf(packTar([{ name: 'Dockerfile', linkname }]))
      expect((await builds.refusal({ context: '-', stdin })).code).toBe('DOCKERFILE_NOT_FOUND')
    }
    web.files.set('/evil.tar', { data: packTar([{ name: 'Dockerfile', linkname: outside }]) })
    expect((await builds.refusal({ context: `${web.url}/evil.tar` })).code).toBe('DOCKERFILE_NOT_FOUND')
    const inside = { ...{ context: '-' }, stdin: bytesOf(packTar([{ name: 'sub/D', data: 'FROM scratch\n' }])), file: '../../outside' }
    expect((await builds.refusal(inside)).code).toBe('DOCKERFILE_NOT_FOUND')
  })

  test.each(['../escape', '/../escape', 'a/../../escape'])('an entry %s is refused', async (name) => {
    const stdin = bytesOf(
      packTar([
        { name: 'Dockerfile', data: 'FROM scratch\nCOPY . /\n' },
        { name, data: 'x' },
      ]),
    )
    expect((await builds.refusal({ context: '-', stdin })).code).toBe('ARCHIVE_REFUSED')
    expect(existsSync(join(builds.folder, 'store/v1/escape'))).toBe(false)
  })

  test('an entry through a symlink to outside stays inside', async () => {
    const victim = join(builds.folder, 'victim')
    writeFileSync(victim, 'untouched')
    const files = [
      { name: 'Dockerfile', data: 'FROM scratch\nCOPY Dockerfile /\n' },
      { name: 'out', linkname: builds.folder },
      { name: 'out/victim', data: 'overwritten' },
    ]
    await builds.build({ context: '-', stdin: bytesOf(packTar(files)) })
    expect(readFileSync(victim, 'utf8')).toBe('untouched')
  })

  test('an archive that ends early', async () => {
    const whole = packTar([
      { name: 'Dockerfile', data: 'FROM scratch\n' },
      { name: 'big', data: 'x'.repeat(100_000) },
    ])
    const { code } = await builds.refusal({ context: '-', stdin: bytesOf(whole.subarray(0, 20_000)) })
    expect(code).toMatch(/^(TAR|ARCHIVE)_/)
  })
})
