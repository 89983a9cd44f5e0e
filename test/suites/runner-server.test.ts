import { chmodSync, existsSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from '@jest/globals'
import { nativeFolder } from '../../src/base/sys.ts'
import { RunnerServer } from '../../src/sandbox/runner-server.ts'
import { describeWith } from '../support/needs.ts'

const runner = join(nativeFolder(), 'runner')
const suite = describeWith(process.getuid?.() === 0 && existsSync(runner) && existsSync('/usr/bin/setpriv'), 'root, the runner and setpriv')

const io = { stdout: () => expect('output').toBe('none'), stderr: () => expect('output').toBe('none') }

suite('a runner that may make no namespaces', () => {
  const folder = mkdtempSync(join(tmpdir(), 'tbuild-runner-'))
  const powerless = join(folder, 'runner')
  writeFileSync(powerless, `#!/bin/sh\nexec /usr/bin/setpriv --reuid 65534 --clear-groups --bounding-set -all ${runner} "$@"\n`)
  chmodSync(powerless, 0o755)
  chmodSync(folder, 0o755)
  const server = new RunnerServer(powerless, 'serve')
  afterAll(async () => {
    await server.close()
    rmSync(folder, { recursive: true })
  })

  // It answers as soon as it has the socket, and reads no plan; the first time it has to be started before.
  test.each([2000, 5_000_000])('says why to each run, however early it says it: a plan of %d bytes', async (size) => {
    const told = new Set<string>()
    for (let run = 0; run < 100; run += 1) told.add(await server.run(Buffer.alloc(size), io, undefined))
    expect([...told]).toEqual([expect.stringMatching(/^error 1 make a mount namespace/)])
  })
})

suite('a runner that cannot be started', () => {
  // `spawn` throws for the one, as for want of memory, and emits an error for the other.
  test.each(['/no\0runner', '/no/runner'])('leaves no descriptor open: %j', async (program) => {
    const server = new RunnerServer(program, 'serve')
    const attempt = () => expect(server.run(Buffer.alloc(2000), io, undefined)).rejects.toMatchObject({ code: 'NATIVE_MISSING' })
    const open = () => readdirSync('/proc/self/fd').length
    await attempt()
    const before = open()
    for (let count = 0; count < 20; count += 1) await attempt()
    await server.close()
    // A socket is closed after its end was told.
    for (let turn = 0; turn < 100 && open() > before; turn += 1) await new Promise(setImmediate)
    expect(open()).toBeLessThanOrEqual(before)
  })
})
