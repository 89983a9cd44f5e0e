import { existsSync, mkdirSync, mkdtempSync, rmSync, statSync } from 'node:fs'
import { connect, createServer, type Server } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from '@jest/globals'
import { withSocketProxies } from '../../../src/sandbox/socket-proxy.ts'
import type { ExecSpec } from '../../../src/sandbox/types.ts'

let folder: string
let agent: Server
beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), 'tbuild-proxy-'))
  agent = createServer({ allowHalfOpen: true }, (socket) => socket.pipe(socket))
  await new Promise<void>((resolve) => agent.listen(join(folder, 'agent'), resolve))
})
afterEach(() => {
  agent.close()
  rmSync(folder, { recursive: true })
})

function specIn(deep: string, target: string): Pick<ExecSpec, 'mounts' | 'rootfs'> {
  mkdirSync(deep, { recursive: true })
  const mount = {
    type: 'socket',
    target: '/s',
    socket: target,
    mode: 0o600,
    uid: process.getuid?.() ?? 0,
    gid: process.getgid?.() ?? 0,
  } as const
  return { rootfs: { lower: [], upper: join(deep, 'upper'), work: join(deep, 'work') }, mounts: [mount] }
}

const ask = (path: string, question: string) =>
  new Promise<string>((resolve, reject) => {
    let answer = ''
    connect({ path, allowHalfOpen: true })
      .on('error', reject)
      .on('data', (data) => {
        answer += data
      })
      .on('end', () => resolve(answer))
      .end(question)
  })

test('connections are passed on, with the mode asked for, and the socket goes afterwards', async () => {
  let path = ''
  await withSocketProxies(specIn(join(folder, 'active'), join(folder, 'agent')), async (spec) => {
    path = (spec.mounts[0] as { socket: string }).socket
    expect(statSync(path).mode & 0o777).toBe(0o600)
    expect(await Promise.all([ask(path, 'one'), ask(path, 'x'.repeat(300_000))])).toEqual(['one', 'x'.repeat(300_000)])
  })
  expect(existsSync(path)).toBe(false)
})

test('an agent that is gone closes the connection, it does not throw', async () => {
  await withSocketProxies(specIn(join(folder, 'active'), join(folder, 'nobody')), async (spec) => {
    const { socket } = spec.mounts[0] as { socket: string }
    await expect(ask(socket, 'hello').catch(() => 'closed')).resolves.toMatch(/^(closed|)$/)
  })
})

test('a folder deeper than a socket’s name may be long', async () => {
  const deep = join(folder, 'd'.repeat(100), 'e'.repeat(100))
  await withSocketProxies(specIn(deep, join(folder, 'agent')), async (spec) => {
    expect(existsSync((spec.mounts[0] as { socket: string }).socket)).toBe(true)
  })
})
