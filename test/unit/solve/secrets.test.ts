import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect, test } from '@jest/globals'
import { openSecrets } from '../../../src/solve/secrets.ts'

const folder = mkdtempSync(join(tmpdir(), 'tbuild-secrets-'))
afterAll(() => rmSync(folder, { recursive: true }))

const KIB = 1024

test('a secret has at most the 500 KiB of BuildKit', async () => {
  const file = join(folder, 'secret')
  const options = { context: folder, secrets: [{ id: 's', source: { file } }] }
  const { secret } = await openSecrets(options, {}, () => folder)
  await expect(secret('s', {})).rejects.toMatchObject({ code: 'SECRET_FILE' })
  writeFileSync(file, Buffer.alloc(500 * KIB, 1))
  expect((await secret('s', {}))?.length).toBe(500 * KIB)
  writeFileSync(file, Buffer.alloc(500 * KIB + 1))
  await expect(secret('s', {})).rejects.toMatchObject({ code: 'SECRET_TOO_LARGE' })
  expect(await secret('other', {})).toBeUndefined()
})
