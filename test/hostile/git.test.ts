import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals'
import { checkoutGit, type GitSource, resolveGitCommit } from '../../src/sources/git/git.ts'
import { parseGitReference } from '../../src/values/git-reference.ts'
import { git } from '../support/remote-builds.ts'
import { startWebServer, type WebServer } from '../support/web-server.ts'

let folder = ''
let web: WebServer

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'tbuild-hostile-git-'))
  web = await startWebServer(folder)
})

afterAll(async () => {
  await web.close()
  rmSync(folder, { recursive: true, force: true })
})

/** A bare repository made by `fill`; its URL. */
function repository(name: string, fill: (work: string) => void): string {
  const work = join(folder, `${name}-work`)
  mkdirSync(work)
  git(work, 'init', '-q')
  fill(work)
  git(work, 'add', '-A')
  git(work, 'commit', '-qm', name)
  git(folder, 'clone', '-q', '--bare', `${name}-work`, `${name}.git`)
  return `${web.url}/git/${name}.git`
}

let checkouts = 0
async function checkout(remote: string, more: Partial<GitSource> = {}, environment: NodeJS.ProcessEnv = process.env): Promise<string> {
  checkouts += 1
  const target = join(folder, `checkout-${checkouts}`)
  mkdirSync(target)
  const source: GitSource = { remote, keepGitDir: false, submodules: true, ...more }
  const access = { environment }
  await checkoutGit(source, await resolveGitCommit(source, access), target, `${target}.scratch`, access)
  expect(existsSync(`${target}.scratch`)).toBe(false)
  return target
}

describe('a hostile repository', () => {
  test('CVE-2026-33748: a symlink is no subdirectory, wherever it leads', async () => {
    const remote = repository('links', (work) => {
      symlinkSync('/', join(work, 'root'))
      symlinkSync('real', join(work, 'inside'))
      mkdirSync(join(work, 'real/deep'), { recursive: true })
      writeFileSync(join(work, 'real/deep/file'), '')
    })
    for (const subdir of ['root', 'root/etc', 'inside', 'inside/deep', 'real/deep/file']) {
      await expect(checkout(remote, { subdir })).rejects.toMatchObject({ code: 'GIT_SUBDIR' })
    }
    expect(readdirSync(await checkout(remote, { subdir: 'real/deep' }))).toEqual(['file'])
  })

  test('GHSA-vp35-85q5-9f25: a submodule on the file system of the builder is refused', async () => {
    const secret = join(folder, 'secret')
    mkdirSync(secret)
    git(secret, 'init', '-q')
    writeFileSync(join(secret, 'password'), 'hunter2')
    git(secret, 'add', '.')
    git(secret, 'commit', '-qm', 'secret')
    for (const [name, url] of [
      ['local', secret],
      ['file', `file://${secret}`],
      ['ext', `ext::sh -c touch% ${folder}/pwned`],
    ] as const) {
      const remote = repository(`submodule-${name}`, (work) => {
        const commit = git(secret, 'rev-parse', 'HEAD')
        writeFileSync(join(work, '.gitmodules'), `[submodule "s"]\n\tpath = s\n\turl = ${url}\n`)
        git(work, 'update-index', '--add', '--cacheinfo', `160000,${commit},s`)
      })
      // `add -A` of the helper took the entry out of the index again: a folder that is not there.
      const work = join(folder, `submodule-${name}-work`)
      git(work, 'update-index', '--add', '--cacheinfo', `160000,${git(secret, 'rev-parse', 'HEAD')},s`)
      git(work, 'commit', '-qm', 'submodule')
      git(work, 'push', '-q', `../submodule-${name}.git`, 'main')
      await expect(checkout(remote)).rejects.toMatchObject({ code: 'GIT_FAILED', message: expect.stringContaining('not allowed') })
    }
    expect(existsSync(join(folder, 'pwned'))).toBe(false)
  })

  test('a submodule with a command for its update runs nothing', async () => {
    const commit = git(join(folder, 'secret'), 'rev-parse', 'HEAD')
    const remote = repository('update', (work) => {
      const update = `!touch ${folder}/pwned`
      writeFileSync(join(work, '.gitmodules'), `[submodule "s"]\n\tpath = s\n\turl = ../links.git\n\tupdate = ${update}\n`)
    })
    const work = join(folder, 'update-work')
    git(work, 'update-index', '--add', '--cacheinfo', `160000,${commit},s`)
    git(work, 'commit', '-qm', 'submodule')
    git(work, 'push', '-q', '../update.git', 'main')
    await expect(checkout(remote)).rejects.toMatchObject({ code: 'GIT_FAILED' })
    expect(existsSync(join(folder, 'pwned'))).toBe(false)
  })

  test('filters and attributes of the repository start no program', async () => {
    const remote = repository('filter', (work) => {
      writeFileSync(join(work, '.gitattributes'), '* filter=evil diff=evil\n')
      writeFileSync(join(work, '.gitconfig'), `[filter "evil"]\n\tsmudge = touch ${folder}/pwned\n`)
      writeFileSync(join(work, 'file'), 'text')
    })
    await checkout(remote)
    expect(existsSync(join(folder, 'pwned'))).toBe(false)
  })
})

describe('the caller’s surroundings', () => {
  test('no configuration, hook, template or helper of the caller is used', async () => {
    const home = join(folder, 'home')
    mkdirSync(join(home, 'template/hooks'), { recursive: true })
    const evil = `#!/bin/sh\ntouch ${folder}/pwned\n`
    writeFileSync(join(home, 'template/hooks/post-checkout'), evil, { mode: 0o755 })
    writeFileSync(
      join(home, '.gitconfig'),
      `[init]\n\ttemplateDir = ${home}/template\n[core]\n\thooksPath = ${home}/template/hooks\n[url "${web.url}/git/nowhere"]\n\tinsteadOf = ${web.url}/git/plain\n`,
    )
    const remote = repository('plain', (work) => writeFileSync(join(work, 'file'), 'text'))
    const environment = { ...process.env, HOME: home, GIT_TEMPLATE_DIR: `${home}/template`, GIT_DIR: '/nowhere', GIT_EXEC_PATH: '/nowhere' }
    const target = await checkout(remote, { keepGitDir: true }, environment)
    expect(readdirSync(target).sort()).toEqual(['.git', 'file'])
    expect(existsSync(join(folder, 'pwned'))).toBe(false)
  })

  test('a login of the URL is in no file', async () => {
    web.gitAuthorization = `Basic ${Buffer.from('me:hunter2').toString('base64')}`
    try {
      const remote = `${web.url.replace('http://', 'http://me:hunter2@')}/git/plain.git`
      const target = await checkout(remote, { keepGitDir: true })
      const config = git(target, 'config', '--file', '.git/config', '--list')
      expect(config).toContain(`remote.origin.url=${web.url}/git/plain.git`)
      expect(config).not.toContain('hunter2')
    } finally {
      web.gitAuthorization = undefined
    }
  })
})

test('a login does not follow a redirect to another host', async () => {
  const seen: (string | undefined)[] = []
  const elsewhere = createServer((request, response) => {
    seen.push(request.headers.authorization)
    const advertised = '001e# service=git-upload-pack\n0000000eversion 2\n000cls-refs\n0000'
    response.writeHead(200, { 'content-type': 'application/x-git-upload-pack-advertisement' }).end(advertised)
  })
  await new Promise<void>((resolve) => elsewhere.listen(0, '127.0.0.1', resolve))
  const { port } = elsewhere.address() as AddressInfo
  for (const path of ['/moved.git/info/refs', '/moved.git/git-upload-pack']) {
    web.files.set(path, { data: '', status: 301, headers: { location: `http://localhost:${port}${path}?service=git-upload-pack` } })
  }
  const source = { remote: `${web.url}/moved.git`, keepGitDir: false, submodules: true }
  try {
    const asked = resolveGitCommit(source, { environment: process.env, authorization: 'Basic c2VjcmV0' })
    await expect(asked).rejects.toMatchObject({ code: 'GIT_FAILED', hint: expect.stringContaining('has moved') })
    expect(seen).toEqual([])
    await expect(resolveGitCommit(source, { environment: process.env })).rejects.toMatchObject({ code: 'GIT_FAILED' })
    expect(seen.length).toBeGreaterThan(1)
    expect(seen.every((header) => header === undefined)).toBe(true)
  } finally {
    elsewhere.close()
  }
})

test('with a login, a submodule of another host may redirect', async () => {
  repository('redirected', (work) => writeFileSync(join(work, 'file'), 'text'))
  const location = `${web.url}/git/redirected.git/info/refs?service=git-upload-pack`
  web.files.set('/moved/redirected.git/info/refs', { data: '', status: 301, headers: { location } })
  const other = web.url.replace('127.0.0.1', 'localhost')
  const remote = repository('redirecting', (work) => {
    git(work, '-c', 'protocol.file.allow=always', 'submodule', '--quiet', 'add', `${folder}/redirected.git`, 's')
    writeFileSync(join(work, '.gitmodules'), `[submodule "s"]\n\tpath = s\n\turl = ${other}/moved/redirected.git\n`)
  })
  const target = join(folder, 'redirecting-checkout')
  mkdirSync(target)
  const source = { remote, keepGitDir: false, submodules: true }
  const access = { environment: process.env, authorization: 'Basic c2VjcmV0' }
  await checkoutGit(source, await resolveGitCommit(source, access), target, `${target}.scratch`, access)
  expect(readdirSync(join(target, 's'))).toEqual(['.git', 'file'])
})

describe('CVE-2019-13139: text that git would take for an option', () => {
  test.each([
    'https://h/x.git#--upload-pack=touch /tmp/x',
    'git@h:x.git#-oProxyCommand=x;:dir',
    'https://h/x.git?ref=-x',
    'https://h/x.git#-:dir',
  ])('%s', (text) => {
    expect(() => parseGitReference(text)).toThrow(expect.objectContaining({ code: 'GIT_REFERENCE' }))
  })

  test.each(['ext::sh -c x', 'file:///etc', '-x', '--upload-pack=x', 'fd::3'])('%s is no repository', (text) => {
    expect(parseGitReference(text)).toBeUndefined()
  })
})

test('a build that is stopped leaves no git behind', async () => {
  const remote = repository('slow', (work) => writeFileSync(join(work, 'file'), 'text'))
  const abort = new AbortController()
  const source: GitSource = { remote, keepGitDir: false, submodules: true }
  abort.abort(new Error('stopped'))
  await expect(resolveGitCommit(source, { environment: process.env, signal: abort.signal })).rejects.toThrow('stopped')
})
