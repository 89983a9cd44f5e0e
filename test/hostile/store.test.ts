import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { setTimeout as sleep } from 'node:timers/promises'
import { jest } from '@jest/globals'
import { build } from 'esbuild'
import { sha256 } from '../../src/base/digest.ts'
import { collect } from '../../src/store/collect.ts'
import { openStore } from '../../src/store/store.ts'
import type { LayerId } from '../../src/store/types.ts'
import { verifyStore } from '../../src/store/verify.ts'
import { testWith } from '../support/needs.ts'

jest.setTimeout(60_000)

const project = join(import.meta.dirname, '../..')
const child = join(project, 'node_modules/.cache', `tbuild-store-child-${process.pid}.mjs`)

interface Running {
  process: ChildProcess
  line(): Promise<string>
  ended: Promise<number | null>
}

describe('a store that processes share', () => {
  let root: string
  let folder: string
  const running: ChildProcess[] = []

  beforeAll(async () => {
    const entry = join(import.meta.dirname, 'store-child.ts')
    await build({
      entryPoints: [entry],
      outfile: child,
      bundle: true,
      platform: 'node',
      format: 'esm',
      target: 'node20',
      logLevel: 'error',
    })
  })
  afterAll(() => rmSync(child, { force: true }))
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'tbuild-shared-'))
    root = join(folder, 'store')
  })
  afterEach(() => {
    for (const process of running.splice(0)) process.kill('SIGKILL')
    rmSync(folder, { recursive: true, force: true })
  })

  function start(...args: string[]): Running {
    const process = spawn('node', [child, root, ...args], { stdio: ['ignore', 'pipe', 'inherit'] })
    running.push(process)
    const lines = createInterface({ input: process.stdout as NodeJS.ReadableStream })[Symbol.asyncIterator]()
    const ended = new Promise<number | null>((resolve) => process.once('exit', resolve))
    return { process, ended, line: async () => String((await lines.next()).value) }
  }

  async function kill(victim: Running): Promise<void> {
    victim.process.kill('SIGKILL')
    await victim.ended
  }

  test('eight processes run a step once', async () => {
    const log = join(folder, 'log')
    const all = Array.from({ length: 8 }, () => start('flight', 'key', join(folder, 'done'), log, '150'))
    await Promise.all(all.map(({ ended }) => ended))
    expect(readFileSync(log, 'utf8')).toBe('run\n')
    const said = await Promise.all(all.map(async ({ line }) => line()))
    expect(said.sort()).toEqual([...Array(7).fill('found'), 'running'])
  })

  test('a waiting process takes over from one that is killed', async () => {
    const args = ['flight', 'key', join(folder, 'done'), join(folder, 'log')] as const
    const owner = start(...args, '60000')
    expect(await owner.line()).toBe('running')
    const heir = start(...args, '0')
    await sleep(200)
    await kill(owner)
    expect([await heir.line(), await heir.line()]).toEqual(['running', 'made'])
    expect(readFileSync(join(folder, 'log'), 'utf8')).toBe('run\nrun\n')
  })

  test('of processes that commit one layer, one wins and all succeed', async () => {
    const id = 'a'.repeat(64)
    const all = Array.from({ length: 6 }, () => start('commit', id))
    expect(await Promise.all(all.map(({ ended }) => ended))).toEqual(Array(6).fill(0))
    const store = await openStore(root)
    expect(readFileSync(join(store.layers.fs(id as LayerId), 'file'), 'utf8')).toMatch(/^by \d+$/)
    expect(readdirSync(store.layout.tmp)).toEqual([])
    await store.close()
  })

  test('what a killed process left half-made is invisible, and removed by the next one; what a living one makes stays', async () => {
    const [dead, living] = [start('half'), start('half')]
    const [gone, kept] = [await dead.line(), await living.line()]
    await kill(dead)
    const store = await openStore(root)
    expect((await verifyStore(store)).findings).toEqual([])
    await store.blobs.put(Buffer.from('x'))
    await store.close()
    expect(existsSync(gone)).toBe(false)
    expect(existsSync(kept)).toBe(true)
    expect(readdirSync(join(root, 'v1/tmp')).every((name) => kept.includes(name.split('.')[0] as string))).toBe(true)
    expect(readdirSync(join(root, 'v1/leases'))).toHaveLength(1)
  })

  test('a cache mount that a killed process had locked is free', async () => {
    const owner = start('mount')
    const directory = await owner.line()
    const store = await openStore(root)
    const signal = AbortSignal.timeout(100)
    await expect(store.cacheMounts.acquire({ id: 'm', sharing: 'locked' }, { signal })).rejects.toMatchObject({ code: 'CANCELED' })
    await kill(owner)
    const use = await store.cacheMounts.acquire({ id: 'm', sharing: 'locked' })
    expect(use.directory).toBe(directory)
    use.release()
    await store.close()
  })

  test('builds at once with gc that takes all it may: every layer is right, and stays while it is used', async () => {
    const log = join(folder, 'log')
    const builders = Array.from({ length: 4 }, () => start('builds', '6', log, '30'))
    const collector = start('collect', '100')
    const codes = await Promise.all([...builders, collector].map(({ ended }) => ended))
    expect(codes).toEqual([0, 0, 0, 0, 0])
    // Within one build a step is made once: gc must not take what the build found or made. Four builds make a step at most four times.
    expect(readFileSync(log, 'utf8').split('\n').length - 1).toBeLessThanOrEqual(6 * 4)
    const store = await openStore(root)
    expect((await verifyStore(store)).findings).toEqual([])
    await store.close()
  })

  test('processes killed at random leave a valid store, and nothing committed is lost', async () => {
    const log = join(folder, 'log')
    for (let round = 0; round < 12; round++) {
      const victim = start('builds', '200', log, '1')
      await sleep(80 + round * 9)
      await kill(victim)
      const store = await openStore(root)
      const records = []
      for await (const record of store.cache.list()) records.push(record)
      for (const { key } of records) expect(await store.cache.find(key)).toBeDefined()
      expect((await verifyStore(store)).findings).toEqual([])
      await store.close()
    }
    expect(await start('builds', '200', log, '1').line()).toBe('ok')
    // One step of each round may have been running when it was killed, and is made again.
    expect(readFileSync(log, 'utf8').split('\n').length - 1).toBeLessThanOrEqual(200 + 12)
  })

  test('a symlink planted in tmp or leases leads nowhere (the victim stays)', async () => {
    await (await openStore(root)).close()
    const victim = join(folder, 'victim')
    mkdirSync(victim)
    writeFileSync(join(victim, 'file'), 'mine')
    symlinkSync(victim, join(root, 'v1/tmp/dead.1'))
    mkdirSync(join(root, 'v1/tmp/dead.2'))
    symlinkSync(victim, join(root, 'v1/tmp/dead.2/fs'))
    const store = await openStore(root)
    await collect(store, { rules: [{}] })
    await store.close()
    expect(readdirSync(join(root, 'v1/tmp'))).toEqual([])
    expect(readFileSync(join(victim, 'file'), 'utf8')).toBe('mine')
  })

  test('a symlink, a fifo and other bytes in place of a blob are refused', async () => {
    const store = await openStore(root)
    const secret = join(folder, 'secret')
    writeFileSync(secret, 'secret')
    symlinkSync(secret, store.blobs.path(sha256('secret')))
    execFileSync('mkfifo', [store.blobs.path(sha256('fifo'))])
    await store.blobs.put(Buffer.from('right'))
    writeFileSync(store.blobs.path(sha256('right')), 'wrong')
    for (const name of ['secret', 'fifo', 'right']) {
      await expect(store.blobs.read(sha256(name), 100)).rejects.toMatchObject({ code: 'BLOB_CORRUPT' })
    }
    await store.close()
  })

  const asRoot = testWith(process.getuid?.() === 0, 'root')

  asRoot('a full disk is a clear error, the store stays valid, and the build goes on after it', () => {
    // The tmpfs lives in a mount namespace of its own and ends with it.
    const script = `
      mount -t tmpfs -o size=3m tmpfs "$1" || exit 9
      node "$2" "$1/store" fill
      node "$2" "$1/store" collect 1
      node "$2" "$1/store" builds 3 /dev/null 1
      ls "$1/store/v1/tmp" "$1/store/v1/leases"`
    mkdirSync(root)
    const output = execFileSync('unshare', ['-m', 'sh', '-c', script, 'sh', root, child], { encoding: 'utf8' })
    const [full, ...rest] = output.trim().split('\n')
    expect(full).toMatch(/^STORE_FULL free space/)
    expect(rest.slice(0, 2)).toEqual(['ok', 'ok'])
    expect(rest.filter((line) => /^[0-9a-f]{16}/.test(line))).toEqual([])
  })

  asRoot('a read-only file system is a clear error', () => {
    const script = `
      mount -t tmpfs tmpfs "$1" && node "$2" "$1/store" commit ${'a'.repeat(64)} && mount -o remount,ro "$1" || exit 9
      node "$2" "$1/store" commit ${'b'.repeat(64)} 2>&1`
    mkdirSync(root)
    let output = ''
    try {
      execFileSync('unshare', ['-m', 'sh', '-c', script, 'sh', root, child], { encoding: 'utf8' })
    } catch (error) {
      output = String((error as { stdout: string }).stdout)
    }
    expect(output).toContain("code: 'STORE_READONLY'")
  })

  asRoot('a store of somebody else is refused', async () => {
    await (await openStore(root)).close()
    execFileSync('chown', ['12345', root])
    await expect(openStore(root)).rejects.toMatchObject({ code: 'STORE_UNSAFE' })
    execFileSync('chown', ['0', root])
    execFileSync('chown', ['12345', join(root, 'v1')])
    await expect(openStore(root)).rejects.toMatchObject({ code: 'STORE_UNSAFE' })
    expect(statSync(join(root, 'v1')).uid).toBe(12345)
  })

  const withSkopeo = testWith(
    ['/usr/bin/skopeo', '/usr/local/bin/skopeo'].some((path) => existsSync(path)),
    'skopeo',
  )
  withSkopeo('the blobs are an OCI layout that other tools read', async () => {
    const store = await openStore(root)
    const put = async (value: object) => store.blobs.put(Buffer.from(JSON.stringify(value)))
    const config = await put({ architecture: 'amd64', os: 'linux', rootfs: { type: 'layers', diff_ids: [] }, config: { Cmd: ['x'] } })
    const mediaType = 'application/vnd.oci.image.manifest.v1+json'
    const manifest = await put({
      schemaVersion: 2,
      mediaType,
      config: { mediaType: 'application/vnd.oci.image.config.v1+json', ...config },
      layers: [],
    })
    const index = { schemaVersion: 2, manifests: [{ mediaType, ...manifest, annotations: { 'org.opencontainers.image.ref.name': 'x' } }] }
    writeFileSync(join(store.layout.oci, 'index.json'), JSON.stringify(index))
    const seen = JSON.parse(execFileSync('skopeo', ['inspect', '--config', `oci:${store.layout.oci}:x`], { encoding: 'utf8' }))
    expect(seen.config.Cmd).toEqual(['x'])
    await store.close()
  })
})
