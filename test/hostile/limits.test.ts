import { randomBytes } from 'node:crypto'
import { mkdirSync, readdirSync, writeFileSync } from 'node:fs'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import { afterAll, afterEach, beforeAll, describe, expect, test } from '@jest/globals'
import { build } from '../../src/build.ts'
import type { BuildOptions } from '../../src/build-options.ts'
import { limits } from '../../src/cli/options/limits.ts'
import type { SizeLimits } from '../../src/sources/git/size-watch.ts'
import { packTar } from '../support/pack-tar.ts'
import { bytesOf, git, publish, type RemoteBuilds, remoteBuilds } from '../support/remote-builds.ts'
import { startWebServer, type WebServer } from '../support/web-server.ts'

const MEBI = 1024 * 1024
let builds: RemoteBuilds
let web: WebServer
/** Sends without end, or claims to. */
let endless: Server
let claims = false

beforeAll(async () => {
  builds = remoteBuilds()
  web = await startWebServer(builds.folder)
  endless = createServer((_request, response) => {
    if (claims) return response.writeHead(200, { 'content-length': String(2 ** 50) }).write('x')
    const more = () => {
      while (response.write(Buffer.alloc(MEBI))) if (response.destroyed) return
    }
    response.on('drain', more)
    return more()
  })
  await new Promise<void>((resolve) => endless.listen(0, '127.0.0.1', resolve))
})
afterAll(async () => {
  endless.closeAllConnections()
  endless.close()
  await web.close()
  builds.remove()
})

/** Nothing half-made is left of what was too much. */
afterEach(() => {
  expect(readdirSync(join(builds.folder, 'store/v1/tmp'))).toEqual([])
})

let count = 0
const context = (lines: string, files = {}) => builds.files(`context-${count++}`, { Dockerfile: `FROM scratch\n${lines}\n`, ...files })
const refusal = async (options: BuildOptions) => {
  const { code, message } = await builds.refusal(options)
  return code ?? message
}
const endlessUrl = () => `http://127.0.0.1:${(endless.address() as AddressInfo).port}/file`
const url = { limits: { url: 4 * MEBI } }
const unpack = { limits: { unpack: 4 * MEBI } }

describe('a URL', () => {
  test('a body without end is dropped at the limit', async () => {
    expect(await refusal({ context: context(`ADD ${endlessUrl()} /`), ...url })).toBe('URL_TOO_LARGE')
    expect(await refusal({ context: endlessUrl(), ...url })).toBe('URL_TOO_LARGE')
  })

  test('a size that is only claimed is refused at once, by default', async () => {
    claims = true
    try {
      expect(await refusal({ context: context(`ADD ${endlessUrl()} /`) })).toBe('URL_TOO_LARGE')
    } finally {
      claims = false
    }
  })

  test('gzip of the transfer counts as what it unpacks to', async () => {
    web.files.set('/zeros', { data: gzipSync(Buffer.alloc(16 * MEBI)), headers: { 'content-encoding': 'gzip' } })
    expect(await refusal({ context: context(`ADD ${web.url}/zeros /`), ...url })).toBe('URL_TOO_LARGE')
    await builds.build({ context: context(`ADD ${web.url}/zeros /`), limits: { url: 16 * MEBI } })
  })
})

/** 16 MiB in some kilobytes. */
const bomb = () =>
  gzipSync(
    packTar([
      { name: 'Dockerfile', data: 'FROM scratch\nCOPY . /\n' },
      { name: 'zeros', data: '\0'.repeat(16 * MEBI) },
    ]),
  )

describe('a tar bomb', () => {
  test('as the context, on standard input and from a URL', async () => {
    expect(await refusal({ context: '-', stdin: bytesOf(bomb()), ...unpack })).toBe('TAR_LIMIT')
    web.files.set('/bomb.tgz', { data: bomb() })
    expect(await refusal({ context: `${web.url}/bomb.tgz`, ...unpack })).toBe('TAR_LIMIT')
  })

  test('ADD of an archive of the context, and of a URL', async () => {
    const local = context('ADD bomb.tgz /')
    writeFileSync(join(local, 'bomb.tgz'), bomb())
    expect(await refusal({ context: local, ...unpack })).toBe('TAR_LIMIT')
    expect(await refusal({ context: context(`ADD --unpack=true ${web.url}/bomb.tgz /`), ...unpack })).toBe('TAR_LIMIT')
    await builds.build({ context: local, limits: { unpack: 32 * MEBI } })
  })

  test('zeros behind the end of the archive count where they are of its member', async () => {
    const archive = packTar([{ name: 'Dockerfile', data: 'FROM scratch\n' }])
    const zeros = Buffer.alloc(16 * MEBI)
    await builds.build({ context: '-', stdin: bytesOf(Buffer.concat([gzipSync(archive), gzipSync(zeros)])), ...unpack })
    expect(await refusal({ context: '-', stdin: bytesOf(gzipSync(Buffer.concat([archive, zeros]))), ...unpack })).toBe('TAR_LIMIT')
  })

  test('a layer of a base image, whatever needs it', async () => {
    const layout = join(builds.folder, 'layout')
    const root = join(builds.folder, 'other-store')
    const made = context('COPY zeros /', { zeros: '\0'.repeat(16 * MEBI) })
    await build({ context: made, root, outputs: [{ type: 'oci', dest: layout, tar: false }] })
    const buildContexts = { base: `oci-layout://${layout}` }
    const on = (lines: string) => builds.files(`on-${count++}`, { Dockerfile: `FROM base\n${lines}\n` })
    expect(await refusal({ context: on('COPY Dockerfile /'), buildContexts, ...unpack })).toBe('TAR_LIMIT')
    // Packed it is small: unpacked into another form it is not.
    const output = { type: 'oci', dest: join(builds.folder, 'image-0.tar'), tar: true, compression: 'uncompressed' } as const
    const recompressed = { context: on('LABEL a=b'), buildContexts, outputs: [output] }
    expect(await refusal({ ...recompressed, outputs: [{ ...output, forceCompression: true }], ...unpack })).toBe('TAR_LIMIT')
    await builds.build({ context: on('COPY Dockerfile /'), buildContexts })
  })

  test('a layer that is packed larger than it may be unpacked is not fetched', async () => {
    const layout = join(builds.folder, 'random')
    const root = join(builds.folder, 'other-store')
    const made = builds.files('random-context', { Dockerfile: 'FROM scratch\nCOPY random /\n' })
    writeFileSync(join(made, 'random'), randomBytes(8 * MEBI))
    await build({ context: made, root, outputs: [{ type: 'oci', dest: layout, tar: false }] })
    const on = builds.files(`on-${count++}`, { Dockerfile: 'FROM base\nCOPY Dockerfile /\n' })
    expect(await refusal({ context: on, buildContexts: { base: `oci-layout://${layout}` }, ...unpack })).toBe('TAR_LIMIT')
  })
})

describe('a git repository', () => {
  const repository = (name: string, fill: (folder: string) => void) => {
    const folder = join(builds.folder, name)
    mkdirSync(folder)
    writeFileSync(join(folder, 'Dockerfile'), 'FROM scratch\nCOPY . /\n')
    fill(folder)
    publish(folder)
    return `${web.url}/git/${name}.git`
  }
  const small = { limits: { git: 4 * MEBI } }

  test('one that is large to fetch', async () => {
    const large = repository('large', (folder) => writeFileSync(join(folder, 'random'), randomBytes(8 * MEBI)))
    expect(await refusal({ context: context(`ADD ${large} /`), ...small })).toBe('GIT_TOO_LARGE')
    expect(await refusal({ context: large, ...small })).toBe('GIT_TOO_LARGE')
    await builds.build({ context: context(`ADD ${large} /`), limits: { git: 64 * MEBI } })
  })

  test('one that is small to fetch and large to check out, its submodules with it', async () => {
    const bombed = repository('bombed', (folder) => writeFileSync(join(folder, 'zeros'), Buffer.alloc(16 * MEBI)))
    expect(await refusal({ context: context(`ADD ${bombed} /`), ...small })).toBe('GIT_TOO_LARGE')
    const outer = repository('outer', (folder) => {
      git(folder, 'init', '-q')
      git(folder, 'submodule', '--quiet', 'add', '../bombed.git', 'sub')
    })
    expect(await refusal({ context: context(`ADD ${outer} /`), ...small })).toBe('GIT_TOO_LARGE')
    await builds.build({ context: context(`ADD ${outer}?submodules=false /`), ...small })
  })

  test('what grows while git works ends git', async () => {
    const { withinSize } = await import('../../src/sources/git/size-watch.ts')
    const folder = join(builds.folder, 'growing')
    mkdirSync(folder)
    const over = (what: string) => Object.assign(new Error(what), { code: 'OVER' })
    const growing = withinSize([folder], { bytes: MEBI, entries: 1000 }, undefined, over, async (signal) => {
      for (let file = 0; !signal.aborted; file += 1) {
        writeFileSync(join(folder, `${file}`), Buffer.alloc(64 * 1024))
        await new Promise((resolve) => setTimeout(resolve, 20))
      }
      throw signal.reason
    })
    await expect(growing).rejects.toMatchObject({ code: 'OVER', message: 'bytes' })
    // One that ends well in the moment in which it is found to be too large.
    const ending = withinSize(
      [folder],
      { bytes: MEBI, entries: 1000 },
      undefined,
      over,
      (signal) => new Promise((resolve) => signal.addEventListener('abort', resolve)),
    )
    await expect(ending).rejects.toMatchObject({ code: 'OVER' })
  })

  test('many empty files are too much as well; a larger --limit would not help, and is not advised', async () => {
    const { withinSize } = await import('../../src/sources/git/size-watch.ts')
    const { tooLarge } = await import('../../src/sources/git/git.ts')
    const folder = join(builds.folder, 'many')
    mkdirSync(join(folder, 'sub'), { recursive: true })
    for (const name of ['a', 'sub/b', 'sub/c']) writeFileSync(join(folder, name), '')
    const within = (room: SizeLimits) =>
      withinSize(
        [folder],
        room,
        undefined,
        (what) => tooLarge('https://h/x.git', room, what),
        async () => 'done',
      )
    expect(await within({ bytes: 1, entries: 5 })).toBe('done')
    const problem = await within({ bytes: 1, entries: 4 }).catch((error: unknown) => error)
    expect(problem).toMatchObject({ code: 'GIT_TOO_LARGE', message: 'the repository https://h/x.git has more than 4 files' })
    expect((problem as { hint: string }).hint).not.toContain('--limit')
  })

  test('what cannot be looked at ends git, too: nothing grows unseen', async () => {
    const { withinSize } = await import('../../src/sources/git/size-watch.ts')
    const unseen = join(builds.folder, 'x'.repeat(300))
    const blind = withinSize(
      [unseen],
      { bytes: MEBI, entries: 1000 },
      undefined,
      () => new Error('over'),
      (signal) => new Promise((resolve) => signal.addEventListener('abort', resolve)),
    )
    await expect(blind).rejects.toMatchObject({ code: 'ENAMETOOLONG' })
  })
})

test('--limit', () => {
  expect(limits(['url=1g,git=none', 'unpack=10m'])).toEqual({ url: 2 ** 30, git: Number.MAX_SAFE_INTEGER, unpack: 10 * MEBI })
  expect(() => limits(['layer=1'])).toThrow(expect.objectContaining({ code: 'USAGE' }))
  expect(() => limits(['url=much'])).toThrow(expect.objectContaining({ code: 'USAGE', message: "--limit url: invalid size: 'much'" }))
})
