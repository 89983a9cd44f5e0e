import { execFileSync } from 'node:child_process'
import { lstatSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { gunzipSync } from 'node:zlib'
import { afterAll, beforeAll, expect, test } from '@jest/globals'
import { tbuildAsync } from '../support/cli.ts'
import { readImage } from '../support/image-archive.ts'
import { git, remoteBuilds } from '../support/remote-builds.ts'
import { startWebServer, type WebServer } from '../support/web-server.ts'

/** Logins in URLs: nobody sees them, wherever the URL stands. */
const TOKEN = 'hunter2tok'
const LOGIN = `Basic ${Buffer.from(`me:${TOKEN}`).toString('base64')}`
const builds = remoteBuilds()
let web: WebServer
/** The server's URL with the login. */
let secret = ''
beforeAll(async () => {
  web = await startWebServer(builds.folder)
  web.gitAuthorization = LOGIN
  secret = web.url.replace('http://', `http://me:${TOKEN}@`)
})
afterAll(async () => {
  await web.close()
  builds.remove()
}, 60_000)

function repository(name: string, files: Record<string, string>): void {
  const work = builds.files(`${name}-work`, files)
  git(work, 'init', '-q')
  git(work, 'add', '-A')
  git(work, 'commit', '-qm', name)
  git(builds.folder, 'clone', '-q', '--bare', `${name}-work`, `${name}.git`)
}

/** Arguments of processes in which the token stands, but for tbuild's own, which its caller wrote. */
async function watchArguments<T>(work: Promise<T>): Promise<{ result: T; seen: string[] }> {
  const seen = new Set<string>()
  let programs = 0
  const look = () => {
    for (const pid of readdirSync('/proc').filter((name) => /^\d+$/.test(name))) {
      try {
        const line = readFileSync(`/proc/${pid}/cmdline`, 'latin1').replaceAll('\0', ' ')
        if (/\bgit\b/.test(line)) programs += 1
        if (line.includes(TOKEN) && !line.includes('tbuild.js')) seen.add(line)
      } catch {
        // It has ended.
      }
    }
  }
  const timer = setInterval(look, 20)
  const result = await work.finally(() => clearInterval(timer))
  expect(programs).toBeGreaterThan(0)
  return { result, seen: [...seen] }
}

/** Files at or below these paths in which the token stands, packed or not. */
function holding(...paths: string[]): string[] {
  return paths.flatMap((path) => {
    if (lstatSync(path).isDirectory()) return holding(...readdirSync(path).map((name) => join(path, name)))
    if (!lstatSync(path).isFile()) return []
    const data = readFileSync(path)
    const bytes = data[0] === 0x1f && data[1] === 0x8b ? gunzipSync(data) : data
    return bytes.includes(TOKEN) ? [path] : []
  })
}

test('a build with a login in every URL: none in log, store, image, cache, metadata and arguments', async () => {
  web.files.set('/file', { data: 'from a URL', authorization: LOGIN })
  web.files.set('/again', { data: 'moved', status: 302, headers: { location: `${secret}/file` } })
  web.files.set('/signed', { data: 'signed' })
  web.files.set('/extra', { data: 'extra', authorization: LOGIN })
  repository('lib', { text: 'of a library' })
  const dockerfile = ['FROM scratch', 'ARG SRC', 'ARG LIB', 'ADD $SRC /a', 'ADD --keep-git-dir $LIB /lib', 'COPY --from=extra /context /x']
  repository('app', { Dockerfile: `${dockerfile.join('\n')}\n`, text: 'of the context' })
  const [store, cache, image, metadata] = ['store-1', 'cache-1', 'image-1.tar', 'metadata-1'].map((name) => join(builds.folder, name)) as [
    string,
    string,
    string,
    string,
  ]
  const args = [
    ...['--root', store, '--build-arg', `SRC=${secret}/again`, '--build-arg', `LIB=${secret}/git/lib.git`],
    ...['--build-context', `extra=${secret}/extra`, '--cache-to', `type=local,dest=${cache},mode=max`],
    ...['-o', `type=oci,dest=${image}`, '--metadata-file', metadata, '-t', 'app', '--build-arg', 'BUILDKIT_CONTEXT_KEEP_GIT_DIR=1'],
  ]
  const context = `${secret}/git/app.git`
  const { result, seen } = await watchArguments(tbuildAsync([...args, '--progress', 'plain', context]))
  expect(result.stderr).toContain(web.url.replace('http://', 'http://xxxxx:xxxxx@'))
  expect([result.status, result.status === 0 ? '' : result.stderr]).toEqual([0, ''])
  expect(seen).toEqual([])
  const again = await tbuildAsync([...args, '--progress', 'rawjson', '--explain', context])
  const changed = await tbuildAsync([
    'explain',
    '--root',
    store,
    ...args.slice(2, 8),
    '--build-arg',
    `SRC=${secret}/signed?token=${TOKEN}`,
    context,
  ])
  const others = await Promise.all(['du', 'history app'].map((line) => tbuildAsync([...line.split(' '), '--root', store])))
  for (const { status, stdout, stderr } of [result, again, changed, ...others]) {
    expect([status, stderr]).toEqual([0, expect.not.stringContaining(TOKEN)])
    expect(stdout).not.toContain(TOKEN)
  }
  execFileSync('tar', ['xf', image, '-C', cache])
  expect(holding(store, cache, metadata)).toEqual([])
  const { config } = readImage(image)
  expect(config.history?.map(({ created_by }) => created_by)).toContain(
    `ADD ${web.url.replace('http://', 'http://xxxxx:xxxxx@')}/again /a # buildkit`,
  )
}, 180_000)

test('what a Dockerfile of the caller has in its lines is masked where they are shown, and its keys do not depend on it', async () => {
  web.files.set('/file', { data: 'from a URL', authorization: LOGIN })
  const write = (token: string, rest: string) =>
    builds.files('own', {
      Dockerfile: `FROM scratch\nARG ALSO\nADD http://me:${token}@${new URL(web.url).host}/file /a\nADD ${web.url}/signed?access_token=${token} /b\n${rest}`,
    })
  web.files.set('/signed', { data: 'signed' })
  const store = join(builds.folder, 'store-2')
  const context = write(TOKEN, 'COPY none /c\n')
  const failed = await tbuildAsync(['--root', store, '--progress', 'plain', context])
  expect(failed.stderr).toContain('COPY none')
  expect(failed.stderr).not.toContain(TOKEN)
  const checked = await tbuildAsync(['--root', store, '--check', context])
  const asJson = await tbuildAsync(['--root', store, '--call', 'check,format=json', context])
  for (const method of ['outline', 'outline,format=json', 'targets']) {
    const url = `ALSO=https://me:${TOKEN}@h/x`
    const asked = await tbuildAsync(['--root', store, '--call', method, '--build-arg', url, context])
    expect([asked.status, asked.stdout + asked.stderr]).toEqual([0, expect.not.stringContaining(TOKEN)])
    if (method !== 'targets') expect(asked.stdout).toContain('https://xxxxx:xxxxx@h/x')
  }
  expect(`${checked.stdout}${checked.stderr}${Buffer.from(JSON.parse(asJson.stdout).sources[0].data, 'base64')}`).not.toContain(TOKEN)
  write(TOKEN, '')
  expect((await tbuildAsync(['--root', store, '--progress', 'plain', context])).status).toBe(0)
  expect(holding(store)).toEqual([])
  // A new token for the same files is the same step.
  web.files.set('/file', { data: 'from a URL', authorization: `Basic ${Buffer.from('me:other').toString('base64')}` })
  write('other', '')
  const cached = await tbuildAsync(['--root', store, '--progress', 'plain', context])
  expect([cached.status, cached.stderr.match(/CACHED/g)?.length]).toEqual([0, 4])
  // Without it nobody gets the file, although the store has it.
  write('', '')
  expect((await tbuildAsync(['--root', store, '--progress', 'plain', context])).stderr).toContain('401')
})

test('a login in a URL of .gitmodules is in no argument, at any depth; a URL beside it is of the repository that it stands in', async () => {
  repository('leaf', { text: 'of a leaf' })
  const nest = (name: string, modules: Record<string, string>) => {
    const text = Object.entries(modules).map(([path, url]) => `[submodule "${path}"]\n\tpath = ${path}\n\turl = ${url}\n`)
    repository(name, { '.gitmodules': text.join('') })
    const work = join(builds.folder, `${name}-work`)
    for (const [path, url] of Object.entries(modules)) {
      const commit = git(builds.folder, '--git-dir', `${url.replace(/.*\//, '')}`, 'rev-parse', 'HEAD').trim()
      git(work, 'update-index', '--add', '--cacheinfo', `160000,${commit},${path}`)
    }
    git(work, 'commit', '-qm', 'submodules')
    git(work, 'push', '-q', `../${name}.git`, 'HEAD')
  }
  nest('middle', { 'a b': `${secret}/git/leaf.git` })
  nest('top', { m: `${secret}/git/middle.git` })
  const dockerfile = `FROM scratch\nADD ${web.url}/git/top.git /t/\n`
  const out = join(builds.folder, 'submodules')
  const auth = builds.files('auth', { header: LOGIN })
  const args = ['--root', join(builds.folder, 'store-4'), '--secret', `id=GIT_AUTH_HEADER,src=${join(auth, 'header')}`, '-o', out]
  const { result, seen } = await watchArguments(
    tbuildAsync([...args, '--progress', 'plain', builds.files('nested', { Dockerfile: dockerfile })]),
  )
  expect([result.status, result.status === 0 ? '' : result.stderr]).toEqual([0, ''])
  expect(readFileSync(join(out, 't/m/a b/text'), 'utf8')).toBe('of a leaf')
  expect(seen).toEqual([])
  expect(result.stderr).not.toContain(TOKEN)
}, 60_000)

test('a repository or URL that is not there: the error names it without its login', async () => {
  for (const source of [
    `${secret}/git/none.git`,
    `${secret}/none`,
    `http://me:${TOKEN}@127.0.0.1:1/x`,
    `ssh://me:${TOKEN}@127.0.0.1/x.git`,
    `ftp://me:${TOKEN}@h/x`,
  ]) {
    const results = [
      await tbuildAsync(['--root', join(builds.folder, 'store-3'), '--progress', 'plain', source]),
      await tbuildAsync([
        '--root',
        join(builds.folder, 'store-3'),
        '--progress',
        'plain',
        '--build-context',
        `x=${source}`,
        '-f',
        '/dev/stdin',
        builds.folder,
      ]),
    ]
    for (const { status, stdout, stderr } of results) {
      expect(status).not.toBe(0)
      expect(stdout + stderr).not.toContain(TOKEN)
    }
  }
})
