import { execFileSync } from 'node:child_process'
import {
  chmodSync,
  chownSync,
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { sha256 } from '../../../src/base/digest.ts'
import { openStore } from '../../../src/store/store.ts'
import { testWith } from '../../support/needs.ts'

describe('opening a store', () => {
  let folder: string
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'tbuild-layout-'))
  })
  afterEach(() => rmSync(folder, { recursive: true, force: true }))

  test('makes an OCI layout that is private, and opens it again', async () => {
    const root = join(folder, 'a', 'store')
    const store = await openStore(root)
    expect(statSync(join(root, 'v1')).mode & 0o7777).toBe(0o700)
    expect(JSON.parse(readFileSync(join(root, 'v1/oci/oci-layout'), 'utf8'))).toEqual({ imageLayoutVersion: '1.0.0' })
    expect(JSON.parse(readFileSync(join(root, 'v1/oci/index.json'), 'utf8'))).toMatchObject({ schemaVersion: 2, manifests: [] })
    const { digest } = await store.blobs.put(Buffer.from('x'))
    await store.close()
    const again = await openStore(root)
    expect(await again.blobs.read(digest, 10)).toEqual(Buffer.from('x'))
    await again.close()
  })

  test.each(['odd $(name) "quoted" \\ %s', 'ünï', '-rf', 'a\nb', ' '])('works in a folder called %j', async (name) => {
    const store = await openStore(join(folder, name))
    await store.blobs.put(Buffer.from('x'))
    expect(await store.blobs.stat(sha256('x'))).toEqual({ size: 1 })
    await store.close()
  })

  test('many at once make one store', async () => {
    const stores = await Promise.all(Array.from({ length: 10 }, () => openStore(join(folder, 'store'))))
    for (const store of stores) await store.close()
  })

  test.each([0o770, 0o707, 0o755])('refuses a store that others can reach (mode %o)', async (mode) => {
    await (await openStore(folder)).close()
    chmodSync(join(folder, 'v1'), mode)
    await expect(openStore(folder)).rejects.toMatchObject({ code: 'STORE_UNSAFE', hint: expect.stringContaining('chmod') })
  })

  test('refuses a store whose root directory others can write', async () => {
    await (await openStore(folder)).close()
    chmodSync(folder, 0o777)
    await expect(openStore(folder)).rejects.toMatchObject({ code: 'STORE_UNSAFE' })
  })

  describe('in a directory that others can write (emptyDir of Kubernetes, --tmpfs of Docker)', () => {
    const own = () => join(folder, `tbuild-${process.getuid?.()}`)

    test.each([0o777, 0o1777, 0o2775])('of mode %o, the store is a private directory, the same each time', async (mode) => {
      chmodSync(folder, mode)
      for (const store of [await openStore(folder), await openStore(folder)]) {
        expect(store.layout.root).toBe(own())
        await store.close()
      }
      expect(statSync(own()).mode & 0o777).toBe(0o700)
      expect(readdirSync(folder)).toEqual([`tbuild-${process.getuid?.()}`])
    })

    test.each([
      ['a link', () => symlinkSync(mkdtempSync(join(tmpdir(), 'tbuild-trap-')), own())],
      ['a directory that others can write', () => mkdirSync(own())],
      ['a file', () => writeFileSync(own(), '')],
    ])('%s that lies there already is refused', async (_name, prepare) => {
      prepare()
      if (lstatSync(own()).isDirectory()) chmodSync(own(), 0o777)
      chmodSync(folder, 0o777)
      await expect(openStore(folder)).rejects.toMatchObject({ code: 'STORE_UNSAFE', hint: expect.stringMatching(/--root|chmod/) })
      if (lstatSync(own()).isSymbolicLink()) rmSync(readlinkSync(own()), { recursive: true })
    })

    testWith(process.getuid?.() === 0, 'root')('a directory of somebody else is refused, and nothing is put into it', async () => {
      mkdirSync(own(), { mode: 0o700 })
      chownSync(own(), 12345, 12345)
      chmodSync(folder, 0o777)
      await expect(openStore(folder)).rejects.toMatchObject({ code: 'STORE_UNSAFE', hint: expect.stringContaining('--root') })
      expect(readdirSync(own())).toEqual([])
    })

    testWith(process.getuid?.() === 0, 'root')('also when the directory is not ours', async () => {
      chownSync(folder, 12345, 12345)
      chmodSync(folder, 0o777)
      const store = await openStore(folder)
      expect(store.layout.root).toBe(own())
      await store.close()
    })
  })

  test('refuses a symlink in place of the store', async () => {
    mkdirSync(join(folder, 'elsewhere'), { mode: 0o700 })
    symlinkSync('elsewhere', join(folder, 'v1'))
    await expect(openStore(folder)).rejects.toMatchObject({ code: 'STORE_UNSAFE' })
  })

  test('refuses another format, and a folder that is no store, and leaves them alone', async () => {
    await (await openStore(folder)).close()
    writeFileSync(join(folder, 'v1/format.json'), '{"store":"tbuild","version":2}\n')
    await expect(openStore(folder)).rejects.toMatchObject({ code: 'STORE_FORMAT' })
    const other = join(folder, 'other')
    mkdirSync(join(other, 'v1'), { recursive: true, mode: 0o700 })
    writeFileSync(join(other, 'v1', 'thesis.txt'), 'x')
    await expect(openStore(other)).rejects.toMatchObject({ code: 'STORE_FORMAT' })
    expect(existsSync(join(other, 'v1', 'oci'))).toBe(false)
    writeFileSync(join(folder, 'file'), '')
    await expect(openStore(join(folder, 'file'))).rejects.toMatchObject({ code: 'STORE_FORMAT' })
  })

  test('is cheap: nothing is locked or written before something is used', async () => {
    await (await openStore(folder)).close()
    const before = execFileSync('find', [folder, '-printf', '%p %T@ %i\n'], { encoding: 'utf8' })
    const store = await openStore(folder)
    expect(await store.images.list()).toEqual([])
    expect(await store.cache.find(sha256('x'))).toBeUndefined()
    await store.flush()
    await store.close()
    expect(execFileSync('find', [folder, '-printf', '%p %T@ %i\n'], { encoding: 'utf8' })).toBe(before)
  })
})
