import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect, test } from '@jest/globals'
import { ThisMachine } from '../../../src/this-machine/this-machine.ts'

const folder = mkdtempSync(join(tmpdir(), 'tbuild-secrets-'))
afterAll(() => rmSync(folder, { recursive: true }))

const KIB = 1024

test('a secret has at most the 500 KiB of BuildKit', async () => {
  const file = join(folder, 'secret')
  const machine = new ThisMachine({ secrets: [{ id: 's', source: { file } }] })
  await expect(machine.secret('s')).rejects.toMatchObject({ code: 'SECRET_FILE' })
  writeFileSync(file, Buffer.alloc(500 * KIB, 1))
  expect((await machine.secret('s'))?.length).toBe(500 * KIB)
  writeFileSync(file, Buffer.alloc(500 * KIB + 1))
  await expect(machine.secret('s')).rejects.toMatchObject({ code: 'SECRET_TOO_LARGE' })
  expect(await machine.secret('other')).toBeUndefined()
})
