import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, test } from '@jest/globals'
import { sha256 } from '../../../src/base/digest.ts'
import type { Op, Vertex } from '../../../src/graph/op.ts'
import { unrunnable } from '../../../src/solve/emulation.ts'
import type { Platform } from '../../../src/values/platform.ts'
import { processSettings } from '../../../src/values/process-settings.ts'

const folder = mkdtempSync(join(tmpdir(), 'tbuild-binfmt-'))
afterAll(() => rmSync(folder, { recursive: true }))

const ARM64 = `interpreter /usr/bin/qemu-aarch64-static
flags: F
offset 0
magic 7f454c460201010000000000000000000200b700
mask ffffffffffffff00fffffffffffffffffeffffff
`
const HOST = { os: 'linux', architecture: 'amd64' }

/** What binfmt_misc shows of handlers. */
function handlers(name: string, files: Record<string, string>): string {
  const path = join(folder, name)
  mkdirSync(path)
  for (const [file, text] of Object.entries({ status: 'enabled\n', register: '', ...files })) writeFileSync(join(path, file), text)
  return path
}

const vertex = (op: Op, root?: Vertex): Vertex => ({ id: '', op, root, inputs: [], name: '', step: '', noCache: false })
const WORKDIR: Op = { kind: 'workdir', path: '/', user: '' }
const COPY: Op = { kind: 'copy', sources: [], destination: '/', link: false, parents: false, exclude: [] }
const exec = (platform: Platform): Op => ({
  ...{ kind: 'exec', args: [], env: [], proxyEnv: [], cwd: '/', user: '', hostname: '', network: 'default', security: 'sandbox' },
  ...{ mounts: [], settings: processSettings({}), platform },
})

/** A RUN on an image of the platform. */
function run(architecture: string, asked = architecture): Vertex[] {
  const image = vertex({ kind: 'image', name: 'x', digest: sha256('x'), platform: { os: 'linux', architecture } })
  return [image, vertex(exec({ os: 'linux', architecture: asked }), vertex(WORKDIR, image))]
}

/** Throws what the first of the steps that cannot run is refused with. */
function requireRunnable(...args: Parameters<typeof unrunnable>): void {
  for (const error of unrunnable(...args).values()) throw error
}

describe('RUN for another platform', () => {
  const none = handlers('none', {})

  test('native ones need nothing: the same architecture, 386 on amd64, arm on arm64', () => {
    requireRunnable(run('amd64'), none, HOST)
    requireRunnable(run('386'), none, HOST)
    requireRunnable(run('arm'), none, { os: 'linux', architecture: 'arm64' })
  })

  test('is judged by the image, not by the platform that was asked for', () => {
    requireRunnable(run('amd64', 'arm64'), none, HOST)
    expect(() => requireRunnable(run('arm64', 'amd64'), none, HOST)).toThrow(expect.objectContaining({ code: 'EMULATION_MISSING' }))
  })

  test('a COPY alone needs no emulator', () => {
    const [image] = run('arm64')
    requireRunnable([image as Vertex, vertex(COPY, image)], none, HOST)
  })

  test.each([
    ['nothing registered', {}, 'no emulator for it is registered in binfmt_misc'],
    ['disabled', { 'qemu-aarch64': `disabled\n${ARM64}` }, 'its emulator qemu-aarch64 is registered in binfmt_misc, but disabled'],
    ['all disabled', { 'qemu-aarch64': `enabled\n${ARM64}`, status: 'disabled\n' }, 'but disabled'],
    ['no F', { 'qemu-aarch64': `enabled\n${ARM64.replace('flags: F', 'flags: OC')}` }, 'without the flag F'],
    ['another machine', { 'qemu-s390x': `enabled\n${ARM64.replace('0200b700', '00020016')}` }, 'no emulator for it is registered'],
    ['by extension', { java: 'enabled\ninterpreter /x\nflags: F\nextension .jar\n' }, 'no emulator for it is registered'],
  ])('%s', (name, files, message) => {
    const path = handlers(name, files)
    expect(() => requireRunnable(run('arm64'), path, HOST)).toThrow(
      expect.objectContaining({
        code: 'EMULATION_MISSING',
        message: expect.stringContaining(message),
        hint: expect.stringContaining('qemu-user-static'),
      }),
    )
  })

  test('an enabled handler with F will do', () => {
    requireRunnable(run('arm64'), handlers('good', { anything: `enabled\n${ARM64}` }), HOST)
  })

  test('binfmt_misc that is not mounted has no handlers', () => {
    expect(() => requireRunnable(run('arm64'), join(folder, 'missing'), HOST)).toThrow('no emulator for it is registered in binfmt_misc')
  })
})
