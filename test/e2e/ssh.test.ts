import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { cpSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals'
import { describeWith } from '../support/needs.ts'
import { listing, publish, type RemoteBuilds, remoteBuilds } from '../support/remote-builds.ts'
import { type SshServer, startSshServer } from '../support/ssh-server.ts'
import { openWorkspace, type Workspace } from '../support/workspace.ts'
import { canRun } from './sandbox-fixture.ts'

let ssh: SshServer
let builds: RemoteBuilds
let known = ''
let stranger = ''

beforeAll(async () => {
  builds = remoteBuilds()
  ssh = await startSshServer(join(builds.folder, 'sshd'))
  known = ssh.key('known', true)
  stranger = ssh.key('stranger', false)
  const app = builds.files('app', { Dockerfile: 'FROM scratch\nCOPY a.txt /\n', 'a.txt': 'one', 'sub/b.txt': 'b' })
  publish(app)
})
afterAll(async () => {
  await ssh.close()
  builds.remove()
})

const url = (suffix = '') => `ssh://${ssh.login}:${ssh.port}${join(builds.folder, 'app.git')}${suffix}`
/** The caller's own known_hosts stay out of it. */
const environment = () => ({ PATH: process.env.PATH, HOME: builds.folder })
const agent = (...paths: readonly string[]) => ({ ssh: [{ id: 'default', paths }], environment: environment() })

describe('git over ssh', () => {
  test('ADD of a repository, with a key of --ssh', async () => {
    const context = builds.files('add', { Dockerfile: `FROM scratch\nADD ${url('#main:sub')} /r\n` })
    expect(listing((await builds.build({ context, ...agent(known) })).tree)).toEqual(['r/', 'r/b.txt b'])
    expect(ssh.log()).toContain('Accepted publickey')
  })

  test('the context, with one of several keys', async () => {
    expect(listing((await builds.build({ context: url(), ...agent(stranger, known) })).tree)).toEqual(['a.txt one'])
  })

  test('a named context', async () => {
    const context = builds.files('named', { Dockerfile: 'FROM scratch\nCOPY --from=src /a.txt /b.txt\n' })
    const { tree } = await builds.build({ context, buildContexts: { src: url() }, ...agent(known) })
    expect(listing(tree)).toEqual(['b.txt one'])
  })

  test('the context takes the caller’s own agent by itself', async () => {
    const socket = join(builds.folder, 'agent')
    const own = spawn('ssh-agent', ['-D', '-a', socket], { stdio: 'ignore' })
    try {
      execFileSync('/bin/sh', ['-c', 'while ! [ -S "$SSH_AUTH_SOCK" ]; do sleep 0.05; done; exec ssh-add -q "$0"', known], {
        env: { PATH: process.env.PATH, SSH_AUTH_SOCK: socket },
        stdio: 'ignore',
      })
      const { tree } = await builds.build({ context: url('#main'), environment: { ...environment(), SSH_AUTH_SOCK: socket } })
      expect(listing(tree)).toEqual(['a.txt one'])
    } finally {
      own.kill()
    }
  })

  test('without a key that is let in git’s own words are shown', async () => {
    const context = builds.files('stranger', { Dockerfile: `FROM scratch\nADD ${url('?ref=main')} /\n` })
    const refused = { code: 'GIT_FAILED', message: expect.stringContaining('Permission denied') }
    expect(await builds.refusal({ context, environment: environment() })).toMatchObject(refused)
    expect(await builds.refusal({ context, ...agent(stranger) })).toMatchObject(refused)
  })

  test('a host whose key is another than the known one is refused', async () => {
    mkdirSync(join(builds.folder, '.ssh'), { recursive: true })
    const other = readFileSync(`${stranger}.pub`, 'utf8').trim()
    writeFileSync(join(builds.folder, '.ssh/known_hosts'), `[127.0.0.1]:${ssh.port} ${other}\n`)
    try {
      const { message } = await builds.refusal({ context: url('?ref=main&subdir=sub'), ...agent(known) })
      expect(message).toContain('Host key verification failed')
    } finally {
      writeFileSync(join(builds.folder, '.ssh/known_hosts'), '')
    }
  })
})

const suite = describeWith(canRun, 'root and busybox-static')
suite('RUN --mount=type=ssh', () => {
  let work: Workspace

  beforeAll(() => {
    work = openWorkspace()
    // The machine's own ssh, with what it is linked with.
    const files = new Set(['/usr/bin/ssh', '/usr/bin/ssh-add'])
    for (const program of [...files]) {
      for (const [, path] of execFileSync('ldd', [program], { encoding: 'utf8' }).matchAll(/(\/\S+) \(0x/g)) files.add(path as string)
    }
    for (const file of files) {
      mkdirSync(dirname(join(work.path('tools'), file)), { recursive: true })
      cpSync(file, join(work.path('tools'), file), { dereference: true })
    }
    mkdirSync(work.path('tools/etc'))
    writeFileSync(work.path('tools/etc/passwd'), 'root:x:0:0:root:/root:/bin/sh\n')
  })
  afterAll(() => work.remove())

  const run = (lines: string, args: readonly string[], env: NodeJS.ProcessEnv = {}) => {
    const Dockerfile = `FROM busybox AS base\nCOPY --from=tools / /\n${lines}\nFROM scratch\nCOPY --from=base /out /out\n`
    const output = work.path(`out-${Math.random()}`)
    const all = ['--no-cache', '--build-context', `tools=${work.path('tools')}`, '-o', output, ...args, work.context({ Dockerfile })]
    const finished = work.run(all, { env: { SSH_AUTH_SOCK: undefined, ...env } })
    return { ...finished, out: () => readFileSync(join(output, 'out'), 'utf8') }
  }

  test('M12 several keys are served by an agent of the build', () => {
    const { out, stderr } = run('RUN --mount=type=ssh,required=true ssh-add -l > /out', ['--ssh', `default=${stranger},${known}`])
    expect(stderr).not.toContain('ERROR')
    const prints = [stranger, known].map((key) => execFileSync('ssh-keygen', ['-l', '-f', key], { encoding: 'utf8' }).split(' ')[1])
    expect(
      out()
        .trim()
        .split('\n')
        .map((line) => line.split(' ')[1]),
    ).toEqual(prints)
  })

  test('a RUN logs in with them, under an id of its own', () => {
    const line = `RUN --mount=type=ssh,id=deploy ssh -o StrictHostKeyChecking=no -p ${ssh.port} ${ssh.login} echo hello > /out`
    const { out, stderr } = run(line, ['--ssh', `deploy=${stranger},${known}`, '--network', 'host'])
    expect(stderr).not.toContain('ERROR')
    expect(out()).toBe('hello\n')
  })

  test('a RUN cannot take a key out of the agent, nor add one', () => {
    const line = 'RUN --mount=type=ssh ssh-add -D; ssh-add -l > /out'
    expect(run(line, ['--ssh', `default=${known}`]).out()).toContain('SHA256:')
  })

  test('a build ends though the agent never answers', async () => {
    const socket = work.path('silent')
    const silent = spawn(process.execPath, ['-e', `require('net').createServer(() => {}).listen('${socket}', () => console.log('up'))`])
    try {
      await once(silent.stdout, 'data')
      const { status, out } = run('RUN --mount=type=ssh timeout 1 ssh-add -l; echo ended > /out', ['--ssh', `default=${socket}`])
      expect({ status, out: out() }).toEqual({ status: 0, out: 'ended\n' })
    } finally {
      silent.kill()
    }
  })

  test('a key with a passphrase, and an agent that is not there, are refused before anything runs', () => {
    const locked = ssh.key('locked', false)
    execFileSync('ssh-keygen', ['-p', '-q', '-f', locked, '-P', '', '-N', 'secret'])
    const wrong = run('RUN echo ran > /out', ['--ssh', `default=${locked}`])
    expect(wrong).toMatchObject({
      status: 1,
      stderr: expect.stringContaining(`failed to parse ${locked}: ssh: this private key is passphrase`),
    })
    expect(wrong.stderr).not.toContain('RUN echo ran')
    expect(run('RUN true', ['--ssh', 'default']).stderr).toContain('make sure SSH_AUTH_SOCK is set')
  })
})
