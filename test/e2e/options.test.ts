import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals'
import { readImage } from '../support/image-archive.ts'
import { describeWith } from '../support/needs.ts'
import { openWorkspace, type Workspace } from '../support/workspace.ts'
import { canRun } from './sandbox-fixture.ts'

/** What scripts pass to `docker build` and `docker buildx build`: the same meaning here. docs/options.md is the table. */
let work: Workspace
let context = ''

beforeAll(() => {
  work = openWorkspace()
  context = work.context({ Dockerfile: 'FROM scratch\nCOPY Dockerfile /\n' })
})
afterAll(() => work.remove())

const json = (name: string) => JSON.parse(readFileSync(work.path(name), 'utf8'))

describe('results', () => {
  test('-q prints the one id of the result, that of an index for several platforms', () => {
    const { stdout } = work.build(['-q', context])
    expect(stdout).toMatch(/^sha256:[0-9a-f]{64}\n$/)
    const index = work.build([
      ...['-q', '--platform', 'linux/amd64,linux/arm64', '--iidfile', work.path('iid')],
      ...['-o', `type=oci,tar=false,dest=${work.path('layout')}`, context],
    ])
    const [{ digest }] = json('layout/index.json').manifests
    expect([index.stdout, readFileSync(work.path('iid'), 'utf8')]).toEqual([`${digest}\n`, digest])
  })

  test.each([['-q'], ['--progress=quiet']])('%s leaves standard output to an archive', (quiet) => {
    const dest = work.path('archive')
    work.build(['-o', `type=tar,dest=${dest}`, context])
    const { stdout, stderr } = work.build([quiet, '-o', '-', context])
    expect([stdout === readFileSync(dest, 'utf8'), stderr]).toEqual([true, ''])
  })

  test.each([['-q'], ['--progress=quiet'], ['--progress=none']])('%s and --explain are refused', (quiet) => {
    const { status, stderr } = work.run([quiet, '--explain', context])
    expect({ status, stderr }).toEqual({ status: 2, stderr: expect.stringContaining('--explain') })
  })

  test('an --iidfile or --metadata-file that cannot be written is told as such', () => {
    mkdirSync(work.path('directory'))
    for (const option of ['--iidfile', '--metadata-file']) {
      const { status, stderr } = work.run([option, work.path('directory'), context])
      expect({ status, stderr }).toEqual({
        status: 1,
        stderr: expect.stringMatching(/^ERROR: \S+directory is a directory .*^code: EXPORT_DEST_DIRECTORY$/ms),
      })
    }
  })

  test('a failing build leaves no earlier --iidfile behind', () => {
    writeFileSync(work.path('stale'), 'sha256:old')
    const broken = work.context({ Dockerfile: 'FROM scratch\nCOPY nothing /\n' })
    expect(work.run(['--iidfile', work.path('stale'), broken]).status).toBe(1)
    expect(existsSync(work.path('stale'))).toBe(false)
  })

  test('--metadata-file has buildx’s names: the image’s own digest where nothing made a manifest', () => {
    const { stdout } = work.build(['-q', '-t', 'meta:1', '--metadata-file', work.path('meta.json'), context])
    const id = stdout.trim()
    const name = 'docker.io/library/meta:1'
    expect(json('meta.json')).toEqual({ 'containerimage.config.digest': id, 'containerimage.digest': id, 'image.name': name })
    work.build(['--metadata-file', work.path('meta2.json'), '-o', `type=oci,dest=${work.path('m.tar')}`, context])
    expect(Object.keys(json('meta2.json'))).toEqual(['containerimage.config.digest', 'containerimage.descriptor', 'containerimage.digest'])
  })

  test('BUILDKIT_MULTI_PLATFORM makes an index of one platform', () => {
    const build = (name: string, ...more: readonly string[]) =>
      work.build([...more, '-o', `type=oci,tar=false,dest=${work.path(name)}`, context]) &&
      json(`${name}/index.json`).manifests[0].mediaType
    expect(build('one')).toContain('manifest')
    expect(build('multi', '--build-arg', 'BUILDKIT_MULTI_PLATFORM=1')).toContain('index')
    work.build(['--build-arg', 'BUILDKIT_MULTI_PLATFORM=true', '-o', work.path('split'), context])
    expect(existsSync(work.path('split/linux_amd64/Dockerfile')) || existsSync(work.path('split/linux_arm64/Dockerfile'))).toBe(true)
  })

  test('BUILDKIT_INLINE_CACHE puts the cache into the image', () => {
    const dest = work.path('inline.tar')
    work.build(['--build-arg', 'BUILDKIT_INLINE_CACHE=1', '-o', `type=oci,dest=${dest}`, context])
    expect(Object.keys(readImage(dest).config)).toContainEqual(expect.stringMatching(/cache/))
  })

  test('--load and -o type=docker hand the image to `docker load`', () => {
    const folder = work.path('docker-bin')
    mkdirSync(folder)
    const script = `#!/bin/sh\necho "$@" > '${work.path('docker-args')}'\nexec cat > '${work.path('docker-stdin')}'\n`
    writeFileSync(join(folder, 'docker'), script, { mode: 0o755 })
    const env = { PATH: `${folder}:${process.env.PATH}` }
    work.build(['--load', '-t', 'loaded:1', context], { env })
    expect(readFileSync(work.path('docker-args'), 'utf8')).toBe('load\n')
    expect(readImage(work.path('docker-stdin')).config.rootfs.diff_ids).toHaveLength(1)
    work.build(['-o', 'type=docker,context=far', context], { env })
    expect(readFileSync(work.path('docker-args'), 'utf8')).toBe('--context far load\n')

    writeFileSync(join(folder, 'docker'), '#!/bin/sh\necho no daemon >&2\nexit 3\n', { mode: 0o755 })
    const failed = work.run(['--load', context], { env })
    expect(failed).toMatchObject({ status: 1, stderr: expect.stringContaining('docker load: no daemon') })
    // A client that neither reads nor stays.
    writeFileSync(join(folder, 'docker'), '#!/bin/sh\nexec <&-\nsleep 0.2\nexit 4\n', { mode: 0o755 })
    expect(work.run(['--load', context], { env }).stderr).toContain('docker load: exit status 4')
  })
})

describe('inputs', () => {
  test('another frontend is refused, Docker’s own is built in', () => {
    const of = (...args: readonly string[]) => work.run([...args, context])
    const foreign = work.context({ Dockerfile: '# syntax=ghcr.io/other/frontend:1\nthis is no Dockerfile\n' })
    expect(work.run([foreign]).stderr).toContain('the frontend ghcr.io/other/frontend:1 is not supported')
    expect(of('--build-arg', 'BUILDKIT_SYNTAX=other/frontend').stderr).toContain('code: FRONTEND_UNSUPPORTED')
    const own = work.context({ Dockerfile: '# syntax=mirror.example/docker/dockerfile:1.7-labs@sha256:00\nFROM scratch\nCOPY . /\n' })
    expect(work.run([own]).status).toBe(0)
    expect(work.run(['--build-arg', 'BUILDKIT_SYNTAX=docker/dockerfile-upstream:master', foreign]).stderr).not.toContain('FRONTEND')
  })

  test('names of contexts are those of images', () => {
    const dir = work.context({ file: 'from the context' })
    const Dockerfile = 'FROM scratch\nCOPY --from=docker.io/library/src:latest file /a\nCOPY --from=context Dockerfile /c\n'
    const args = ['--build-context', `src=${dir}`, '--build-context', `context=${work.context({ Dockerfile: 'the other' })}`]
    work.build([...args, '-o', work.path('named'), work.context({ Dockerfile })])
    expect(readFileSync(work.path('named/a'), 'utf8')).toBe('from the context')
    expect(readFileSync(work.path('named/c'), 'utf8')).toBe('the other')
    const wrong = work.run(['--build-context', `Src=${dir}`, context])
    expect(wrong).toMatchObject({ status: 2, stderr: expect.stringContaining('invalid context name Src: invalid reference format') })
  })

  test('an empty value of some options is none, as scripts pass it', () => {
    const options = [
      '--secret',
      '--ssh',
      '-o',
      '--cache-from',
      '--cache-to',
      '--build-context',
      '--annotation',
      '-f',
      '--target',
      '--network',
    ]
    expect(work.run([...options.flatMap((option) => [option, '']), context]).status).toBe(0)
    expect(work.run(['--label', '', context]).stderr).toContain('code: USAGE')
  })
})

const suite = describeWith(canRun, 'root and busybox-static')
suite('RUN steps', () => {
  const printed = (line: string, args: readonly string[], env: NodeJS.ProcessEnv = {}) => {
    const Dockerfile = `FROM busybox AS base\nRUN ${line} > /out\nFROM scratch\nCOPY --from=base /out /out\n`
    const output = work.path(`out-${Math.random()}`)
    work.build(['--no-cache', '-o', output, ...args, work.context({ Dockerfile })], { env })
    return readFileSync(join(output, 'out'), 'utf8')
  }

  test('--add-host takes several, and host-gateway is where the host answers', () => {
    const hosts = printed('cat /etc/hosts', ['--add-host', 'a:10.0.0.1,b:10.0.0.2', '--add-host', 'host.docker.internal:host-gateway'])
    expect(hosts).toMatch(/^10\.0\.0\.1\ta\n10\.0\.0\.2\tb\n127\.0\.0\.1\thost\.docker\.internal$/m)
  })

  test('proxies of docker’s configuration are build arguments, which the command line overrides', () => {
    const folder = work.path('docker-config')
    mkdirSync(folder)
    const proxies = { default: { httpProxy: 'http://p.example:1', noProxy: 'localhost' } }
    writeFileSync(join(folder, 'config.json'), JSON.stringify({ proxies }))
    const env = { DOCKER_CONFIG: folder, HTTP_PROXY: undefined, NO_PROXY: undefined }
    expect(printed('echo $HTTP_PROXY $http_proxy $NO_PROXY', [], env)).toBe('http://p.example:1 http://p.example:1 localhost\n')
    expect(printed('echo $HTTP_PROXY', ['--build-arg', 'HTTP_PROXY=http://q.example:2'], env)).toBe('http://q.example:2\n')
  })

  test.each([
    ['is no JSON', (file: string) => writeFileSync(file, '{ "proxies": broken')],
    ['is a directory', (file: string) => mkdirSync(file)],
  ])('a config.json that %s is warned of, as docker does', (what, make) => {
    const folder = work.path(`config that ${what}`)
    mkdirSync(folder)
    make(join(folder, 'config.json'))
    const { stderr } = work.build([context], { env: { DOCKER_CONFIG: folder } })
    expect(stderr).toContain(`no proxies are taken from docker's configuration: ${join(folder, 'config.json')} `)
  })
})
