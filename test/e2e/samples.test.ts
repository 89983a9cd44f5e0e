import { existsSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals'
import type { ContainerConfig } from '../../src/base/oci.ts'
import { script } from '../support/cli.ts'
import { readImage } from '../support/image-archive.ts'
import { applyLayers, type Tree } from '../support/image-tree.ts'

/** The samples build on a machine without a registry, twice, and the images hold what their Dockerfiles say. */
let work = ''
beforeAll(async () => {
  work = await mkdtemp(join(tmpdir(), 'tbuild-samples-'))
})
afterAll(() => rm(work, { recursive: true, force: true }), 120_000)

interface Built {
  readonly tree: Tree
  readonly config: ContainerConfig
  readonly author: string | undefined
  readonly again: string
}

function build(name: string): Built {
  const archive = join(work, `${name}.tar`)
  const args = [name, '--root', join(work, 'store'), '--progress', 'plain']
  const first = script('sample.mjs', [...args, '-o', `type=oci,dest=${archive}`])
  if (first.status !== 0) throw new Error(first.stderr)
  const again = script('sample.mjs', args)
  if (again.status !== 0) throw new Error(again.stderr)
  const image = readImage(archive)
  return { tree: applyLayers(image.layers), config: image.config.config ?? {}, author: image.config.author, again: again.stderr }
}

/** Steps of a plain log that ran. */
function ran(log: string): string[] {
  return log
    .split('\n')
    .filter((line) => /^#\d+ \[.*\] (?:RUN|COPY|ADD|WORKDIR)/.test(line) && !log.includes(`${line}\n${line.split(' ')[0]} CACHED`))
}

const text = (tree: Tree, path: string) => tree.get(path)?.data.toString('utf8')

test('hello', () => {
  const { tree, config, again } = build('hello')
  expect(text(tree, 'etc/greeting')).toBe('HELLO FROM TBUILD\n')
  expect(config).toMatchObject({ Cmd: ['cat', '/etc/greeting'], Labels: { 'org.opencontainers.image.title': 'hello' } })
  expect(ran(again)).toEqual([])
}, 120_000)

/** The other bases are Debian: mmdebstrap makes them, as root. */
const withDebian = process.getuid?.() === 0 && existsSync('/usr/bin/apt-get') ? describe : describe.skip

withDebian('on Debian bases', () => {
  test('node-app', () => {
    const { tree, config, again } = build('node-app')
    expect(tree.get('app/node_modules/greeter')).toMatchObject({ type: 'symlink', linkname: '../greeter', uid: 33, gid: 33 })
    expect(tree.get('app/src/server.js')).toMatchObject({ uid: 33, gid: 33, mode: 0o644 })
    expect(tree.has('tmp/tested')).toBe(true)
    expect(config).toMatchObject({ User: 'www-data', WorkingDir: '/app', ExposedPorts: { '3000/tcp': {} }, Cmd: ['node', 'src/server.js'] })
    expect(config.Healthcheck).toEqual({ Test: ['CMD', 'node', 'src/health.js'], Interval: 30e9, Timeout: 3e9 })
    expect(ran(again)).toEqual([])
  }, 600_000)

  test('go-scratch', () => {
    const { tree, config, again } = build('go-scratch')
    expect([...tree.keys()]).toEqual(['app'])
    expect(tree.get('app')?.mode).toBe(0o755)
    expect(tree.get('app')?.data.subarray(0, 4).toString('latin1')).toBe('\u007fELF')
    expect(config).toMatchObject({ User: '65534:65534', Entrypoint: ['/app'] })
    expect(ran(again)).toEqual([])
  }, 600_000)

  test('nginx', () => {
    const { tree, config, again } = build('nginx')
    expect(text(tree, 'var/www/html/index.html')).toBe('<h1>Hello from tbuild</h1>\n')
    expect(tree.has('usr/sbin/nginx')).toBe(true)
    expect(config).toMatchObject({ Entrypoint: ['/usr/sbin/nginx'], Cmd: ['-g', 'daemon off;'], ExposedPorts: { '80/tcp': {} } })
    expect(config.Labels).toEqual({ maintainer: 'web@example.org', description: 'nginx that greets' })
    expect(ran(again)).toEqual([])
  }, 600_000)

  test('python-app', () => {
    const { tree, config, author, again } = build('python-app')
    expect(author).toBe('Example Org <python@example.org>')
    expect([...tree.keys()].some((path) => path.endsWith('/greeter.py') && path.startsWith('usr/local/lib/python3'))).toBe(true)
    expect(tree.has('app/Dockerfile')).toBe(false)
    expect(config).toMatchObject({ WorkingDir: '/app', Entrypoint: ['python3'], Cmd: ['app.py'], ExposedPorts: { '5000/tcp': {} } })
    expect(ran(again)).toEqual([])
  }, 600_000)
})
