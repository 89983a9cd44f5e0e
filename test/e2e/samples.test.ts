import { existsSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from '@jest/globals'
import type { ContainerConfig } from '../../src/values/oci.ts'
import { script } from '../support/cli.ts'
import { readImage } from '../support/image-archive.ts'
import { applyLayers, describeTree, type Tree } from '../support/image-tree.ts'
import { haveTools, inspectWithSkopeo, PEER, runWithDocker, unpackWithUmoci } from '../support/interop.ts'
import { describeWith } from '../support/needs.ts'
import { stepsOf } from '../support/steps.ts'

/** The samples build on a machine without a registry, twice, and the images hold what their Dockerfiles say. */
let work = ''
let tools = false
beforeAll(async () => {
  work = await mkdtemp(join(tmpdir(), 'tbuild-samples-'))
  tools = haveTools()
}, 300_000)
afterAll(() => rm(work, { recursive: true, force: true }), 120_000)

interface Built {
  readonly tree: Tree
  readonly config: ContainerConfig
  readonly author: string | undefined
  /** Steps that ran the second time. */
  readonly again: readonly string[]
}

function build(name: string): Built {
  const archive = join(work, `${name}.tar`)
  const args = [name, '--root', join(work, 'store'), '--progress', 'rawjson']
  const first = script('sample.mjs', [...args, '-o', `type=oci,dest=${archive}`])
  if (first.status !== 0) throw new Error(first.stderr)
  const again = script('sample.mjs', args)
  if (again.status !== 0) throw new Error(again.stderr)
  const image = readImage(archive)
  return {
    tree: applyLayers(image.layers),
    config: image.config.config ?? {},
    author: image.config.author,
    again: stepsOf(again.stderr).ran,
  }
}

/** What other tools make of the archives; `prints` is what the image prints in docker, which TBUILD_PEER names. */
function checkWithOthers(name: string, built: Built, run?: { prints: string; command?: readonly string[] }): void {
  if (!tools) return
  const archive = join(work, `${name}.tar`)
  const { Labels, Env } = inspectWithSkopeo(archive)
  expect({ Labels: Labels ?? undefined, Env: Env ?? undefined }).toEqual({ Labels: built.config.Labels, Env: built.config.Env })
  expect([...unpackWithUmoci(archive)].sort()).toEqual([...describeTree(built.tree)].sort())
  if (PEER === undefined || run === undefined) return
  const docker = join(work, `${name}-docker.tar`)
  const made = script('sample.mjs', [name, '--root', join(work, 'store'), '-o', `type=docker,dest=${docker}`])
  expect({ status: made.status, stderr: made.stderr }).toMatchObject({ status: 0 })
  expect(runWithDocker(docker, `sample/${name}`, run.command)).toBe(run.prints)
}

const text = (tree: Tree, path: string) => tree.get(path)?.data.toString('utf8')

test('hello', () => {
  const built = build('hello')
  const { tree, config, again } = built
  expect(text(tree, 'etc/greeting')).toBe('HELLO FROM TBUILD\n')
  expect(config).toMatchObject({ Cmd: ['cat', '/etc/greeting'], Labels: { 'org.opencontainers.image.title': 'hello' } })
  expect(again).toEqual([])
  checkWithOthers('hello', built, { prints: 'HELLO FROM TBUILD\n' })
}, 120_000)

/** The other bases are Debian: mmdebstrap makes them, as root. */
const withDebian = describeWith(process.getuid?.() === 0 && existsSync('/usr/bin/apt-get'), 'root on Debian')

withDebian('on Debian bases', () => {
  test('node-app', () => {
    const built = build('node-app')
    const { tree, config, again } = built
    expect(tree.get('app/node_modules/greeter')).toMatchObject({ type: 'symlink', linkname: '../greeter', uid: 33, gid: 33 })
    expect(tree.get('app/src/server.js')).toMatchObject({ uid: 33, gid: 33, mode: 0o644 })
    expect(tree.has('tmp/tested')).toBe(true)
    expect(config).toMatchObject({ User: 'www-data', WorkingDir: '/app', ExposedPorts: { '3000/tcp': {} }, Cmd: ['node', 'src/server.js'] })
    expect(config.Healthcheck).toEqual({ Test: ['CMD', 'node', 'src/health.js'], Interval: 30e9, Timeout: 3e9 })
    expect(again).toEqual([])
    checkWithOthers('node-app', built, {
      prints: 'Hello, Ada!\n',
      command: ['node', '--input-type=module', '-e', "import { greet } from 'greeter'; console.log(greet('Ada'))"],
    })
  }, 600_000)

  test('go-scratch', () => {
    const built = build('go-scratch')
    const { tree, config, again } = built
    expect([...tree.keys()]).toEqual(['app'])
    expect(tree.get('app')?.mode).toBe(0o755)
    expect(tree.get('app')?.data.subarray(0, 4).toString('latin1')).toBe('\u007fELF')
    expect(config).toMatchObject({ User: '65534:65534', Entrypoint: ['/app'] })
    expect(again).toEqual([])
    checkWithOthers('go-scratch', built, { prints: 'hello, world (version dev)\n' })
  }, 600_000)

  test('nginx', () => {
    const built = build('nginx')
    const { tree, config, again } = built
    expect(text(tree, 'var/www/html/index.html')).toBe('<h1>Hello from tbuild</h1>\n')
    expect(tree.has('usr/sbin/nginx')).toBe(true)
    expect(config).toMatchObject({ Entrypoint: ['/usr/sbin/nginx'], Cmd: ['-g', 'daemon off;'], ExposedPorts: { '80/tcp': {} } })
    expect(config.Labels).toEqual({ maintainer: 'web@example.org', description: 'nginx that greets' })
    expect(again).toEqual([])
    checkWithOthers('nginx', built, { prints: '', command: ['-t', '-q'] })
  }, 600_000)

  test('python-app', () => {
    const built = build('python-app')
    const { tree, config, author, again } = built
    expect(author).toBe('Example Org <python@example.org>')
    expect([...tree.keys()].some((path) => path.endsWith('/greeter.py') && path.startsWith('usr/local/lib/python3'))).toBe(true)
    expect(tree.has('app/Dockerfile')).toBe(false)
    expect(config).toMatchObject({ WorkingDir: '/app', Entrypoint: ['python3'], Cmd: ['app.py'], ExposedPorts: { '5000/tcp': {} } })
    expect(again).toEqual([])
    checkWithOthers('python-app', built, { prints: '', command: ['-c', 'import greeter'] })
  }, 600_000)
})
