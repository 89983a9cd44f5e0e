import { spawn, spawnSync } from 'node:child_process'
import { chmodSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals'
import type { BuildEvent } from '../../src/base/events.ts'
import { build } from '../../src/build.ts'
import { readHandlers } from '../../src/solve/emulation.ts'
import { hostPlatform, type Platform } from '../../src/values/platform.ts'
import { arm64Program } from '../support/arm64-program.ts'
import { root as project } from '../support/cli.ts'
import { testWith } from '../support/needs.ts'
import { listing, type RemoteBuilds, remoteBuilds } from '../support/remote-builds.ts'

/** Installed, or unpacked by `npm test`. */
const QEMU = ['/usr/bin', join(project, 'build/qemu/usr/bin')].map((at) => join(at, 'qemu-aarch64-static')).find((file) => existsSync(file))
const arm64: Platform = { os: 'linux', architecture: 'arm64' }
const s390x: Platform = { os: 'linux', architecture: 's390x' }
const host = hostPlatform()
const isNative = host.architecture === 'amd64'

let builds: RemoteBuilds
let base = ''

interface Descriptor {
  readonly digest: string
  readonly platform?: Platform
}

const blob = (layout: string, { digest }: Descriptor) => JSON.parse(readFileSync(join(layout, 'blobs/sha256', digest.slice(7)), 'utf8'))

/** The manifests of the one image in a layout, by platform. */
function manifests(layout: string): Descriptor[] {
  const [top] = JSON.parse(readFileSync(join(layout, 'index.json'), 'utf8')).manifests as [Descriptor]
  return blob(layout, top).manifests
}

beforeAll(async () => {
  builds = remoteBuilds()
  // A base for two platforms: it holds the same files, but says what it is for.
  const context = builds.files('base', { Dockerfile: 'FROM scratch\nARG TARGETARCH\nENV ARCH=$TARGETARCH\nCOPY prog /prog\n' })
  writeFileSync(join(context, 'prog'), arm64Program('hello from arm64'))
  chmodSync(join(context, 'prog'), 0o755)
  base = join(builds.folder, 'base-layout')
  await build({ context, root: join(builds.folder, 'store'), platforms: [host, arm64], outputs: [{ type: 'oci', dest: base, tar: false }] })
})

afterAll(() => builds.remove())

const buildContexts = () => ({ base: `oci-layout://${base}` })

describe('platforms', () => {
  test('I11 several make an index, each manifest of its own platform', () => {
    const found = manifests(base)
    expect(found.map(({ platform }) => platform)).toEqual([host, arm64])
    const configs = found.map((descriptor) => blob(base, blob(base, descriptor).config))
    expect(configs.map(({ architecture }) => architecture)).toEqual([host.architecture, 'arm64'])
    expect(configs.map(({ config }) => config.Env.at(-1))).toEqual([`ARCH=${host.architecture}`, 'ARCH=arm64'])
  })

  test('ids of events are told apart, and FROM takes the platform’s image', async () => {
    const context = builds.files('both', { Dockerfile: 'FROM base\nCOPY Dockerfile /\n' })
    const dest = join(builds.folder, 'both')
    const ids: string[] = []
    const onEvent = (event: BuildEvent) => event.type === 'vertex' && ids.push(event.id)
    const options = { context, root: join(builds.folder, 'store'), platforms: [host, arm64], buildContexts: buildContexts() }
    await build({ ...options, outputs: [{ type: 'oci', dest, tar: false }] }, { onEvent })
    expect(new Set(ids).size).toBe(ids.length)
    const configs = manifests(dest).map((descriptor) => blob(dest, blob(dest, descriptor).config))
    expect(configs.map(({ config }) => config.Env.at(-1))).toEqual([`ARCH=${host.architecture}`, 'ARCH=arm64'])
  })

  test('A11 a platform argument may be given', async () => {
    const context = builds.files('given', { Dockerfile: 'FROM scratch\nARG TARGETARCH\nENV A=$TARGETARCH\n' })
    const { config } = await builds.build({ context, platforms: [s390x], buildArgs: { TARGETARCH: 'mine' } })
    expect([config.architecture, config.config?.Env?.at(-1)]).toEqual(['s390x', 'A=mine'])
  })
})

describe('RUN for another platform', () => {
  /** Whether this machine would run it after all. */
  const emulated = readHandlers('/proc/sys/fs/binfmt_misc').some(({ name }) => name.includes('aarch64'))
  const unemulated = testWith(isNative && !emulated, 'an amd64 machine where no emulator for arm64 is registered')

  unemulated('is refused before anything runs, in all platforms of the build', async () => {
    const context = builds.files('foreign', { Dockerfile: 'FROM base\nRUN ["/prog"]\n' })
    const events: BuildEvent[] = []
    const options = { context, root: join(builds.folder, 'store'), platforms: [host, arm64], buildContexts: buildContexts() }
    const error = await build(options, { onEvent: (event) => events.push(event) }).catch((reason) => reason)
    expect(error).toMatchObject({
      code: 'EMULATION_MISSING',
      message: 'a RUN for linux/arm64 cannot run on linux/amd64: no emulator for it is registered in binfmt_misc',
      hint: expect.stringContaining('qemu-user-static'),
      span: expect.objectContaining({ start: expect.objectContaining({ line: 2 }) }),
    })
    expect(events.filter(({ type }) => type === 'started')).toEqual([])
  })

  unemulated('a cross stage needs no emulator: FROM --platform=$BUILDPLATFORM', async () => {
    const Dockerfile = [
      'FROM --platform=$BUILDPLATFORM scratch AS build',
      'ARG TARGETARCH BUILDARCH',
      'COPY <<EOF /for',
      '$BUILDARCH makes $TARGETARCH',
      'EOF',
      'FROM base',
      'COPY --from=build /for /',
      '',
    ]
    const context = builds.files('cross', { Dockerfile: Dockerfile.join('\n') })
    const { tree, config } = await builds.build({ context, platforms: [arm64], buildContexts: buildContexts() })
    expect(config.architecture).toBe('arm64')
    expect(listing(tree)).toContain('for amd64 makes arm64')
  })

  const missing = [
    process.getuid?.() === 0 ? undefined : 'root, to make a user namespace with its own binfmt_misc',
    QEMU === undefined ? 'qemu-aarch64-static (Debian: qemu-user-static)' : undefined,
  ].filter(Boolean)
  const withQemu = testWith(isNative && missing.length === 0, ['an amd64 machine', ...missing].join(' and '))
  const store = () => join(builds.folder, 'emulated-store')
  const emulatedArgs = (context: string, ...more: readonly string[]) => [
    ...['--root', store(), '--progress', 'plain', '--platform', 'linux/arm64', '--build-context', `base=oci-layout://${base}`],
    ...more,
    context,
  ]

  withQemu('works where qemu is registered', async () => {
    const context = builds.files('emulated', { Dockerfile: 'FROM base\nRUN ["/prog"]\n' })
    const finished = await withBinfmt([process.execPath, join(project, 'bin/tbuild.js'), ...emulatedArgs(context)])
    expect(finished.output).toContain('hello from arm64')
    expect(finished.status).toBe(0)
  })

  const withoutQemu = testWith(
    isNative && missing.length === 0 && !emulated,
    ['no emulator for arm64 that is registered', ...missing].join(' and '),
  )
  withoutQemu('a cached one is no obstacle where nothing is registered any more; one that would run is', async () => {
    const lines = (made: string, run: string, label = '') =>
      `FROM --platform=$BUILDPLATFORM scratch AS made\nCOPY <<EOF /x\nx\nEOF\n${made}\nFROM base\nRUN ["/prog"]\nCOPY --from=made /x /x\n${run}\n${label}\n`
    const context = builds.files('later', { Dockerfile: lines('', 'RUN ["/prog", "2"]') })
    const first = await withBinfmt([process.execPath, join(project, 'bin/tbuild.js'), ...emulatedArgs(context)])
    expect(first).toMatchObject({ status: 0 })

    // In such a namespace too: its layers are none outside of it, where other attributes count.
    const again = (Dockerfile: string, ...more: readonly string[]) =>
      withBinfmt([process.execPath, join(project, 'bin/tbuild.js'), ...emulatedArgs(builds.files('later', { Dockerfile }), ...more)], '')
    const labelled = await again(lines('', 'RUN ["/prog", "2"]', 'LABEL a=b'))
    expect(labelled).toMatchObject({ status: 0 })
    expect(labelled.output).toMatch(/RUN \["\/prog", "2"\]\n.*CACHED/)

    const refused = { status: 1, output: expect.stringContaining('code: EMULATION_MISSING') }
    for (const finished of [await again(lines('', 'RUN ["/prog", "3"]')), await again(lines('', 'RUN ["/prog", "2"]'), '--no-cache')]) {
      expect(finished).toMatchObject(refused)
      expect(finished.output).not.toContain('DONE')
    }
    // What is below has to run first: then its files are the same and the step is cached, or it is refused when its turn comes.
    expect(await again(lines('COPY <<EOF /y\ny\nEOF', 'RUN ["/prog", "2"]'))).toMatchObject({ status: 0 })
    const other = await again(lines('COPY <<EOF /x\nother\nEOF', 'RUN ["/prog", "2"]'))
    expect(other).toMatchObject(refused)
    expect(other.output).toContain('Dockerfile:11')
    // An earlier build did no such step: nothing below it is run in vain.
    const unknown = await again(lines('COPY <<EOF /x\nthird\nEOF', 'RUN ["/prog", "4"]'))
    expect(unknown).toMatchObject(refused)
    expect(unknown.output).not.toContain('DONE')
  })
})

const MAGIC = '\\x7fELF\\x02\\x01\\x01\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x02\\x00\\xb7\\x00'
const MASK = '\\xff\\xff\\xff\\xff\\xff\\xff\\xff\\x00\\xff\\xff\\xff\\xff\\xff\\xff\\xff\\xff\\xfe\\xff\\xff\\xff'
const ARM64_HANDLER = `:qemu-aarch64:M::${MAGIC}:${MASK}:${QEMU}:F`

/** Since Linux 6.7 a user namespace has handlers of its own: nothing is registered for the rest of the machine. */
async function withBinfmt(command: readonly string[], handler = ARM64_HANDLER): Promise<{ status: number | null; output: string }> {
  const folder = join(builds.folder, 'binfmt')
  mkdirSync(folder, { recursive: true })
  const go = join(folder, `go-${Date.now()}`)
  spawnSync('mkfifo', [go])
  const script = `read line < ${go} && mount -t binfmt_misc none /proc/sys/fs/binfmt_misc && { [ -z "$1" ] || printf %s "$1" > /proc/sys/fs/binfmt_misc/register; } && shift && exec "$@"`
  const child = spawn('unshare', ['--user', '--mount', 'sh', '-c', script, 'sh', handler, ...command], {
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  const output: Buffer[] = []
  child.stdout.on('data', (data: Buffer) => output.push(data))
  child.stderr.on('data', (data: Buffer) => output.push(data))
  const ended = new Promise<number | null>((resolve) => child.on('close', resolve))
  await mapIds(child.pid as number)
  writeFileSync(go, '\n')
  return { status: await ended, output: Buffer.concat(output).toString('utf8') }
}

/** As soon as the process is in its own namespace. */
async function mapIds(pid: number): Promise<void> {
  const own = readlink('/proc/self/ns/user')
  while (readlink(`/proc/${pid}/ns/user`) === own) await new Promise((resolve) => setTimeout(resolve, 5))
  for (const map of ['uid_map', 'gid_map']) writeFileSync(`/proc/${pid}/${map}`, '0 0 65536')
}

function readlink(path: string): string {
  return spawnSync('readlink', [path], { encoding: 'utf8' }).stdout
}
