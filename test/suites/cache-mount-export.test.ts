import { linkSync, mkdirSync, readFileSync, statSync, symlinkSync, truncateSync, writeFileSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals'
import { sys } from '../../src/base/sys.ts'
import { AT_FDCWD } from '../../src/base/sys-constants.ts'
import { exportCacheMounts, importCacheMounts } from '../../src/export/cache-mounts.ts'
import { temporaryStore } from './temporary-store.ts'

/** A store with one cache mount, `npm`, exported to `folder`; and an empty store. */
let folder = ''
let from: Awaited<ReturnType<typeof temporaryStore>>
let to: typeof from

beforeEach(async () => {
  folder = join(await mkdtemp(join(tmpdir(), 'tbuild-cache-mounts-')), 'export')
  from = await temporaryStore()
  to = await temporaryStore()
  const { directory, release } = await from.store.cacheMounts.acquire({ id: 'npm', sharing: 'shared', mode: 0o750 })
  mkdirSync(join(directory, 'a'))
  writeFileSync(join(directory, 'a/file'), 'content', { mode: 0o640 })
  linkSync(join(directory, 'a/file'), join(directory, 'again'))
  symlinkSync('/etc/passwd', join(directory, 'link'))
  sys().utimesat(AT_FDCWD, join(directory, 'a/file'), 1_700_000_000, 123_456_789)
  release()
  await exportCacheMounts(from.store.cacheMounts, from.store.cacheMounts.list(), folder)
})
afterEach(async () => {
  await from.dispose()
  await to.dispose()
  await rm(join(folder, '..'), { recursive: true, force: true })
})

test('content, modes, links and times to the nanosecond arrive in another store', async () => {
  expect(await importCacheMounts(to.store.cacheMounts, folder, [])).toEqual(['npm'])
  const { directory, release } = await to.store.cacheMounts.acquire({ id: 'npm', sharing: 'shared', mode: 0o750 })
  const file = statSync(join(directory, 'a/file'), { bigint: true })
  expect(readFileSync(join(directory, 'a/file'), 'utf8')).toBe('content')
  expect([file.mode & 0o7777n, file.nlink, file.mtimeNs]).toEqual([0o640n, 2n, 1_700_000_000_123_456_789n])
  expect(statSync(directory).mode & 0o7777).toBe(0o750)
  release()
})

test('an id that the export does not have', async () => {
  await expect(importCacheMounts(to.store.cacheMounts, folder, ['pip'])).rejects.toMatchObject({ code: 'CACHE_MOUNT_MISSING' })
})

describe('an export that is none', () => {
  const refused = () => expect(importCacheMounts(to.store.cacheMounts, folder, [])).rejects.toMatchObject({ code: 'CACHE_EXPORT_INVALID' })

  test('without its index', async () => {
    await rm(join(folder, 'index.json'))
    await refused()
  })

  test('whose index is a link, or longer than any', async () => {
    await rm(join(folder, 'index.json'))
    symlinkSync('/dev/zero', join(folder, 'index.json'))
    await refused()
    await rm(join(folder, 'index.json'))
    writeFileSync(join(folder, 'index.json'), '')
    truncateSync(join(folder, 'index.json'), 64 * 1024 * 1024)
    await refused()
  })

  test.each(['null', '[]', '7', '{"manifests":[null]}', '{"manifests":7}', '{"manifests":[{"digest":"sha256:../x"}]}', '{"manifests":'])(
    'whose index is %s',
    async (text) => {
      writeFileSync(join(folder, 'index.json'), text)
      await refused()
    },
  )
})
