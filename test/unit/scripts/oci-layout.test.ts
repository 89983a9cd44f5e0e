import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

const script = join(import.meta.dirname, '../../../scripts/oci-layout.mjs')
const { makeOnce, takeLock } = (await import(script)) as {
  makeOnce: (folder: string, make: () => Promise<void>) => Promise<string>
  takeLock: (lock: string) => boolean
}

let work: string
beforeEach(() => {
  work = mkdtempSync(join(tmpdir(), 'tbuild-once-'))
})
afterEach(() => rmSync(work, { recursive: true }))

describe('a base image that several processes want is made once', () => {
  test.each([
    ['of a process that has ended', '4194305'],
    ['that names nobody', ''],
  ])('a lock %s is free', async (_what, owner) => {
    const folder = join(work, 'base')
    writeFileSync(`${folder}.lock`, owner)
    let made = 0
    const make = async () => {
      made++
      mkdirSync(folder)
      writeFileSync(join(folder, 'index.json'), '{}')
    }
    await makeOnce(folder, make)
    expect(made).toBe(1)
    expect(existsSync(`${folder}.lock`)).toBe(false)
    await makeOnce(folder, make)
    expect(made).toBe(1)
  })

  test('one that another process takes and leaves all the time is waited for', async () => {
    const lock = join(work, 'lock')
    const code = `
      const { takeLock } = await import(${JSON.stringify(script)})
      const { rmSync } = await import('node:fs')
      console.log('begun')
      for (;;) if (takeLock(process.argv[1])) rmSync(process.argv[1], { force: true })`
    const other = spawn(process.execPath, ['--input-type=module', '-e', code, lock], { stdio: ['ignore', 'pipe', 'inherit'] })
    try {
      await once(other.stdout, 'data')
      let taken = 0
      for (let tries = 0; tries < 1_000_000 && taken < 2_000; tries++) {
        if (!takeLock(lock)) continue
        taken++
        rmSync(lock)
      }
      expect(taken).toBe(2_000)
    } finally {
      other.kill('SIGKILL')
    }
  })
})
