import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, writeFileSync } from 'node:fs'
import { connect, createServer } from 'node:net'
import { userInfo } from 'node:os'
import { join } from 'node:path'

/** An OpenSSH server on 127.0.0.1 that knows its own keys only, and nothing of the machine's. */
export interface SshServer {
  readonly port: number
  /** USER@127.0.0.1 */
  readonly login: string
  /** What it said of its connections. */
  log(): string
  /** A key without passphrase that may log in, or not; its path. */
  key(name: string, allowed: boolean): string
  close(): Promise<void>
}

const SSHD = '/usr/sbin/sshd'

export async function startSshServer(folder: string): Promise<SshServer> {
  if (!existsSync(SSHD)) throw new Error('sshd is missing: install openssh-server (its service need not run), then run the tests again')
  mkdirSync(folder, { recursive: true })
  // Its own folder for a child without rights, which only root needs.
  if (process.getuid?.() === 0) mkdirSync('/run/sshd', { recursive: true, mode: 0o755 })
  const keygen = (name: string) => {
    const path = join(folder, name)
    const { status, stderr } = spawnSync('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-C', '', '-f', path], { encoding: 'utf8' })
    if (status !== 0) throw new Error(stderr)
    return path
  }
  const port = await freePort()
  const config = [
    ['Port', port],
    ['ListenAddress', '127.0.0.1'],
    ['HostKey', keygen('host')],
    ['AuthorizedKeysFile', join(folder, 'authorized')],
    ['PidFile', 'none'],
    ['PermitRootLogin', 'yes'],
    ['PasswordAuthentication', 'no'],
    ['StrictModes', 'no'],
    ['UsePAM', 'no'],
    ['LogLevel', 'VERBOSE'],
  ]
  writeFileSync(join(folder, 'authorized'), '')
  writeFileSync(join(folder, 'config'), `${config.map((pair) => pair.join(' ')).join('\n')}\n`)
  const server = spawn(SSHD, ['-D', '-e', '-f', join(folder, 'config')], { stdio: ['ignore', 'ignore', 'pipe'] })
  let log = ''
  server.stderr.on('data', (data) => {
    log += data
  })
  await listening(port, server, () => log)
  return {
    port,
    login: `${userInfo().username}@127.0.0.1`,
    log: () => log,
    key(name, allowed) {
      const path = keygen(name)
      if (allowed) spawnSync('/bin/sh', ['-c', 'cat "$1" >> "$2"', 'sh', `${path}.pub`, join(folder, 'authorized')])
      return path
    },
    close: () =>
      new Promise((resolve) => {
        server.on('close', () => resolve())
        server.kill()
      }),
  }
}

async function freePort(): Promise<number> {
  const server = createServer()
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as { port: number }
  await new Promise((resolve) => server.close(resolve))
  return port
}

async function listening(port: number, server: ChildProcess, log: () => string): Promise<void> {
  for (let attempt = 0; attempt < 100; attempt += 1) {
    if (server.exitCode !== null) throw new Error(`sshd ended: ${log()}`)
    const up = await new Promise<boolean>((resolve) => {
      const socket = connect(port, '127.0.0.1', () => {
        socket.destroy()
        resolve(true)
      }).on('error', () => resolve(false))
    })
    if (up) return
    await new Promise((resolve) => setTimeout(resolve, 50))
  }
  throw new Error(`sshd does not listen: ${log()}`)
}
