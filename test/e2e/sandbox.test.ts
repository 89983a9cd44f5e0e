import { spawn } from 'node:child_process'
import { existsSync, mkdirSync, readdirSync, readFileSync, rmdirSync, statSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { dirname, join } from 'node:path'
import { afterAll, afterEach, beforeAll, expect, test } from '@jest/globals'
import { processSettings } from '../../src/values/process-settings.ts'
import { describeWith, testWith } from '../support/needs.ts'
import { alive, childrenOf, commandLine, descendants, kill, running, until } from '../support/processes.ts'
import { canRun, SandboxFixture } from './sandbox-fixture.ts'

const suite = describeWith(canRun, 'root and busybox-static')
let fixture: SandboxFixture
beforeAll(() => {
  if (canRun) fixture = new SandboxFixture()
})
afterAll(() => fixture?.remove())

suite('a run', () => {
  test('changes land in the upper and nothing else does', async () => {
    const run = await fixture.run('echo hello; echo oops >&2; echo data > /file; mkdir -m 0700 /dir')
    expect(run).toMatchObject({ code: 0, out: 'hello\n', err: 'oops\n' })
    expect(run.changes).toEqual(['dir d 700 0:0', 'file f 644 0:0'])
  })

  test('the work directory is empty after a command that removed nothing', async () => {
    const spec = fixture.spec('echo x > /made; echo y >> /etc/passwd')
    expect(await fixture.sandbox.exec(spec, { stdout() {}, stderr() {} })).toMatchObject({ code: 0 })
    expect(readdirSync(spec.rootfs.work)).toEqual([])
  })

  test('R8 an exit status is a value, a signal is 128 + n', async () => {
    expect(await fixture.run('exit 3')).toMatchObject({ code: 3, oomKilled: false })
    expect(await fixture.run('sh -c "kill -TERM \\$\\$"; exit $?')).toMatchObject({ code: 143 })
    expect((await fixture.run('exit 0')).signal).toBeUndefined()
  })

  test('R8 the command is process 1: the kernel keeps signals that it does not handle from it', async () => {
    const run = await fixture.run('echo $$; for s in KILL TERM SEGV STOP PIPE; do kill -$s $$; done; sh -c "kill -9 1"; echo alive')
    expect(run).toMatchObject({ code: 0, out: '1\nalive\n' })
    expect(await fixture.run('trap "echo caught; exit 4" TERM; kill $$; sleep 1')).toMatchObject({ code: 4, out: 'caught\n' })
  })

  test('the command can be killed from outside, which is reported as the signal', async () => {
    const spec = fixture.spec('echo up; while :; do sleep 0.05; done')
    const report = await fixture.sandbox.exec(spec, {
      // Its loop may be between fork and exec: then two have these words.
      stdout: () => running(spec.args.join(' ')).forEach(kill),
      stderr: () => {},
    })
    expect(report).toEqual({ code: 137, signal: 'SIGKILL', oomKilled: false })
  })

  test('a command waits for whoever takes its output, stream by stream in the order in which it wrote', async () => {
    let taken = 0
    let open = () => {}
    const waits = new Promise<void>((resolve) => {
      open = resolve
    })
    const order: string[] = []
    const take = (stream: string) => (data: Uint8Array) => {
      taken += data.length
      if (order.at(-1) !== stream) order.push(stream)
      return waits
    }
    const spec = fixture.spec('yes | head -c 2000000; sleep 0.1; echo between >&2; sleep 0.1; echo last')
    const ended = fixture.sandbox.exec(spec, { stdout: take('out'), stderr: take('err') })
    await until(() => taken > 0, 10_000)
    await new Promise((resolve) => setTimeout(resolve, 300))
    expect(taken).toBeLessThanOrEqual(64 * 1024)
    open()
    expect(await ended).toMatchObject({ code: 0 })
    expect([taken, order]).toEqual([2_000_000 + 13, ['out', 'err', 'out']])
  })

  test('what it writes to both streams arrives in the order in which it wrote', async () => {
    let text = ''
    const take = (data: Uint8Array) => {
      text += Buffer.from(data).toString()
    }
    const script = 'i=0; while [ $i -lt 60 ]; do echo out $i; echo err $i >&2; i=$((i+1)); done'
    expect(await fixture.sandbox.exec(fixture.spec(script), { stdout: take, stderr: take })).toMatchObject({ code: 0 })
    expect(text).toBe(Array.from({ length: 60 }, (_, index) => `out ${index}\nerr ${index}\n`).join(''))
  })

  test('a command that waits for ever ends with the signal', async () => {
    const caller = new AbortController()
    const take = () => {
      setTimeout(() => caller.abort(), 100)
      return new Promise(() => {})
    }
    const ended = fixture.sandbox.exec(fixture.spec('yes 765401'), { stdout: take, stderr: take }, caller.signal)
    await expect(ended).rejects.toMatchObject({ name: 'AbortError' })
    expect(running('/bin/sh -c yes 765401')).toEqual([])
  })

  test('runs come from one process beside the builder; ending it ends no run, and the next run starts another', async () => {
    await fixture.sandbox.close()
    const others = new Set(childrenOf(process.pid).map(({ pid }) => pid))
    const servers = () => childrenOf(process.pid).filter(({ pid }) => !others.has(pid) && commandLine(pid).startsWith('tbuild-runner'))
    let begun = () => {}
    const started = new Promise<void>((resolve) => {
      begun = resolve
    })
    await fixture.run('true')
    const first = servers()
    expect(first).toHaveLength(1)
    const long = fixture.sandbox.exec(fixture.spec('echo begun; sleep 1; exit 7'), { stdout: begun, stderr: begun })
    await Promise.all([started, fixture.run('true'), fixture.run('true')])
    expect(servers()).toEqual(first)
    first.forEach(kill)
    await until(() => servers().length === 0, 10_000)
    expect(await fixture.run('echo again')).toMatchObject({ code: 0, out: 'again\n' })
    expect(servers()).toHaveLength(1)
    expect(servers()).not.toEqual(first)
    expect(await long).toMatchObject({ code: 7 })
    await fixture.sandbox.close()
    expect(servers()).toEqual([])
  })

  test('no signal is ignored or blocked at the start', async () => {
    expect((await fixture.run('grep -E "^Sig(Blk|Ign)" /proc/self/status | cut -f2')).out).toBe('0000000000000000\n0000000000000000\n')
    expect(await fixture.run('yes | head -n 1')).toMatchObject({ out: 'y\n', err: '' })
  })

  test('E1 what cannot be started says why in runc’s words', async () => {
    const layer = fixture.makeLayer(
      'printf x > format; printf "#!/nope" > script; mkdir d; printf x > plain; chmod 755 format script; chmod 644 plain',
    )
    const failure = async (program: string) => {
      const { code, err } = await fixture.run('', { layers: [layer], args: [program] })
      return [code, err]
    }
    expect(await failure('nope')).toEqual([127, 'exec: "nope": executable file not found in $PATH\n'])
    expect(await failure('/nope')).toEqual([127, 'exec: "/nope": stat /nope: no such file or directory\n'])
    expect(await failure('/plain/x')).toEqual([127, 'exec: "/plain/x": stat /plain/x: not a directory\n'])
    expect(await failure('/plain')).toEqual([126, 'exec: "/plain": permission denied\n'])
    expect(await failure('/d')).toEqual([126, 'exec: "/d": is a directory\n'])
    expect(await failure('/format')).toEqual([126, 'exec /format: exec format error\n'])
    expect(await failure('/script')).toEqual([127, 'exec /script: no such file or directory\n'])
  })

  test('a user’s command is found and started with the capabilities of the container, as by runc, and keeps none', async () => {
    const layer = fixture.makeLayer('mkdir -m 0700 closed; cp /bin/busybox closed/grep; chmod 700 closed/grep')
    const run = await fixture.run('', { layers: [layer], user: 'bob', args: ['/closed/grep', 'CapEff', '/proc/self/status'] })
    expect(run).toMatchObject({ code: 0, out: 'CapEff:\t0000000000000000\n' })
  })

  test('R1 stdin is empty, stdout can be reopened by an unprivileged user', async () => {
    expect((await fixture.run('cat | wc -c')).out).toBe('0\n')
    expect(await fixture.run('echo a > /dev/stdout; echo b > /dev/stderr', { user: 'bob' })).toMatchObject({
      code: 0,
      out: 'a\n',
      err: 'b\n',
    })
  })

  test('large output arrives whole', async () => {
    const run = await fixture.run('head -c 3000000 /dev/zero; head -c 1000000 /dev/zero >&2')
    expect([run.out.length, run.err.length]).toEqual([3_000_000, 1_000_000])
  })

  test('R2 hostname and hosts file with --add-host', async () => {
    const run = await fixture.run('hostname; cat /etc/hosts', {
      settings: processSettings({ extraHosts: [{ host: 'db', ip: '10.1.2.3' }] }),
    })
    expect(run.out).toBe('buildkitsandbox\n127.0.0.1\tlocalhost buildkitsandbox\n::1\tlocalhost ip6-localhost ip6-loopback\n10.1.2.3\tdb\n')
  })

  test('R4 --network=none has the loopback device only, up, and no resolver', async () => {
    const run = await fixture.run('ip -o link | wc -l; ip -o addr | grep -c 127.0.0.1; grep -c nameserver /etc/resolv.conf', {
      network: 'none',
    })
    expect(run.out).toBe('1\n1\n0\n')
  })

  test('R5 Docker’s default capabilities, seccomp, no_new_privs off', async () => {
    const { out } = await fixture.run('grep -E "^(Cap|NoNew|Seccomp:)" /proc/self/status | tr -s "\\t" " "')
    expect(out.trim().split('\n')).toEqual([
      'CapInh: 0000000000000000',
      'CapPrm: 00000000a80425fb',
      'CapEff: 00000000a80425fb',
      'CapBnd: 00000000a80425fb',
      'CapAmb: 0000000000000000',
      'NoNewPrivs: 0',
      'Seccomp: 2',
    ])
  })

  test('R6 limits are pinned, --ulimit replaces them', async () => {
    expect((await fixture.run('ulimit -Sn; ulimit -c')).out).toBe('1024\n0\n')
    expect(
      (await fixture.run('ulimit -Sn; ulimit -Hn', { settings: processSettings({ ulimits: [{ name: 'nofile', soft: 100, hard: 200 }] }) }))
        .out,
    ).toBe('100\n200\n')
  })

  test('R7 umask is 0022 whatever the caller’s', async () => {
    const before = process.umask(0o077)
    const run = await fixture.run('umask; touch /f').finally(() => process.umask(before))
    expect(run.out).toBe('0022\n')
    expect(run.changes).toEqual(['f f 644 0:0'])
  })

  test('R9 leftover processes end with the run', async () => {
    const started = Date.now()
    const run = await fixture.run('sleep 98765 & sleep 98765 > /dev/null & exit 0')
    expect(run.code).toBe(0)
    expect(Date.now() - started).toBeLessThan(98_765)
    expect(running('sleep 98765')).toEqual([])
  })

  test('shm is 64 MiB, or --shm-size', async () => {
    expect((await fixture.run('df -k /dev/shm | tail -n1 | tr -s " " | cut -d" " -f2')).out).toBe('65536\n')
    expect(
      (await fixture.run('df -k /dev/shm | tail -n1 | tr -s " " | cut -d" " -f2', { settings: processSettings({ shmSize: 1024 * 1024 }) }))
        .out,
    ).toBe('1024\n')
  })

  test('a missing command is 127, one that may not be executed 126', async () => {
    expect(await fixture.run('', { args: ['nosuch'] })).toMatchObject({
      code: 127,
      err: 'exec: "nosuch": executable file not found in $PATH\n',
    })
    expect(await fixture.run('', { args: ['/nosuch'] })).toMatchObject({ code: 127 })
    expect(await fixture.run('', { args: ['/etc/passwd'] })).toMatchObject({ code: 126, err: 'exec: "/etc/passwd": permission denied\n' })
  })

  test('a hundred layers', async () => {
    const layers = Array.from({ length: 100 }, (_, i) => fixture.makeLayer(`echo ${i} > last; echo ${i} > f${i}`))
    expect((await fixture.run('cat /last; ls / | grep -c ^f', { layers })).out).toBe('99\n100\n')
  })

  test('aborting ends the run and leaves no process', async () => {
    const abort = new AbortController()
    const run = fixture.run('sleep 87654', {}, abort.signal)
    setTimeout(() => abort.abort(), 200)
    await expect(run).rejects.toMatchObject({ name: 'AbortError' })
    expect(running('sleep 87654')).toEqual([])
  })

  test('aborting while a socket is made ready starts nothing', async () => {
    const abort = new AbortController()
    const socket = { type: 'socket', target: '/s', socket: '/none', mode: 0o600, uid: 0, gid: 0 } as const
    const run = fixture.run('sleep 3', { mounts: [socket] }, abort.signal)
    abort.abort()
    const begun = Date.now()
    await expect(run).rejects.toMatchObject({ name: 'AbortError' })
    expect(Date.now() - begun).toBeLessThan(2500)
  })

  test('what a run printed that nobody had read is not handed on when it is aborted', async () => {
    const abort = new AbortController()
    let first: () => void = () => {}
    const printed = new Promise<void>((resolve) => {
      first = resolve
    })
    let after = 0
    const take = () => {
      if (abort.signal.aborted) after += 1
      first()
      return new Promise(() => {})
    }
    const run = fixture.sandbox.exec(fixture.spec('yes & yes >&2'), { stdout: take, stderr: take }, abort.signal)
    await printed
    await new Promise((resolve) => setTimeout(resolve, 200))
    abort.abort()
    await expect(run).rejects.toMatchObject({ name: 'AbortError' })
    expect(after).toBe(0)
  })

  test('more than its pipe takes: a plan with a large file', async () => {
    const data = Buffer.alloc(5_000_000, 'x')
    const mounts = [{ type: 'file', target: '/big', data, mode: 0o400, uid: 0, gid: 0 }] as const
    expect((await fixture.run('wc -c < /big', { mounts })).out).toBe('5000000\n')
  })
})

suite('users', () => {
  test('W15 a name has its groups, W16 the primary one among them', async () => {
    expect((await fixture.run('id', { user: 'bob' })).out).toBe('uid=1000(bob) gid=1000(bob) groups=50(staff),1000(bob)\n')
  })
  test('W17 no USER has root’s groups', async () => {
    expect((await fixture.run('id')).out).toBe('uid=0(root) gid=0(root) groups=0(root),10(wheel)\n')
  })
  test('another user has no effective capability', async () => {
    const { out } = await fixture.run('grep -E "^Cap(Prm|Eff|Bnd)" /proc/self/status | cut -f2', { user: 'bob' })
    expect(out).toBe('0000000000000000\n0000000000000000\n00000000a80425fb\n')
  })
  test('A14 HOME comes from passwd, ENV HOME wins', async () => {
    expect((await fixture.run('echo $HOME', { user: 'bob' })).out).toBe('/home/bob\n')
    expect((await fixture.run('echo $HOME', { user: 'bob', env: ['PATH=/bin', 'HOME=/x'] })).out).toBe('/x\n')
  })
  test('W4 a missing working directory is made, owned by the user', async () => {
    const run = await fixture.run('pwd; touch here', { user: 'bob', cwd: '/srv/app' })
    expect(run.out).toBe('/srv/app\n')
    expect(run.changes).toEqual(['srv d 755 1000:1000', 'srv/app d 755 1000:1000', 'srv/app/here f 644 1000:1000'])
  })
})

suite('mounts', () => {
  test('M14 mount points that were made are gone afterwards, also their parents, and times are restored', async () => {
    const layer = fixture.makeLayer('mkdir -p srv/deep; touch -d 2001-01-01T00:00:00Z srv/deep srv')
    const mounts = [
      { type: 'tmpfs', target: '/srv/deep/a/b' },
      { type: 'file', target: '/run/secrets/x', data: Buffer.from('s3cret'), mode: 0o400, uid: 0, gid: 0 },
    ] as const
    const run = await fixture.run('touch /srv/deep/a/b/gone; cat /run/secrets/x', { mounts, layers: [layer] })
    expect(run.out).toBe('s3cret')
    expect(run.changes.filter((line) => !/^srv d/.test(line))).toEqual([])
  })

  test('M14 a mount point in which the command left something stays', async () => {
    const run = await fixture.run('echo 1 > /a/kept', { mounts: [{ type: 'tmpfs', target: '/a/b' }] })
    expect(run.changes).toEqual(['a d 755 0:0', 'a/kept f 644 0:0'])
  })

  test('M13 parents precede children whatever the order', async () => {
    const mounts = [
      { type: 'tmpfs', target: '/m/in' },
      { type: 'tmpfs', target: '/m' },
    ] as const
    expect((await fixture.run('grep -c " /m" /proc/mounts; touch /m/in/x && ls /m', { mounts })).out).toBe('2\nin\n')
  })

  test('M15 files in /run persist', async () => {
    expect((await fixture.run('echo 1 > /run/pid')).changes).toContain('run/pid f 644 0:0')
  })

  test('M1 a bind is read-only; rw writes are thrown away and the source stays as it is', async () => {
    const source = fixture.makeLayer('echo old > f; mkdir d')
    const bind = { type: 'bind', target: '/b', directories: [source], path: '' } as const
    const readonly = await fixture.run('cat /b/f; echo new > /b/f', { mounts: [{ ...bind, writable: false }] })
    expect(readonly).toMatchObject({ code: 1, out: 'old\n' })
    const writable = await fixture.run('echo new > /b/f; touch /b/d/x; cat /b/f', { mounts: [{ ...bind, writable: true }] })
    expect(writable).toMatchObject({ code: 0, out: 'new\n', changes: [] })
    expect(readFileSync(join(source, 'f'), 'utf8')).toBe('old\n')
    expect(readdirSync(join(source, 'd'))).toEqual([])
  })

  test('a bind of several layers is their union, a file of it can be mounted', async () => {
    const directories = [fixture.makeLayer('mkdir d; echo low > d/a; echo low > d/b'), fixture.makeLayer('mkdir d; echo high > d/b')]
    const mounts = [
      { type: 'bind', target: '/u', directories, path: '/d', writable: false },
      { type: 'bind', target: '/one', directories, path: 'd/b', writable: false },
    ] as const
    expect((await fixture.run('cat /u/a /u/b /one', { mounts })).out).toBe('low\nhigh\nhigh\n')
  })

  test('a cache is written in place, its sub-path too', async () => {
    const directory = fixture.makeLayer('mkdir sub')
    const cache = { type: 'cache', target: '/c', directory, writable: true } as const
    expect((await fixture.run('echo 1 > /c/f', { mounts: [{ ...cache, path: '' }] })).changes).toEqual([])
    await fixture.run('echo 2 > /c/g', { mounts: [{ ...cache, path: 'sub' }] })
    expect(readFileSync(join(directory, 'f'), 'utf8')).toBe('1\n')
    expect(readFileSync(join(directory, 'sub/g'), 'utf8')).toBe('2\n')
  })

  test('a socket of the host appears with the mode and owner asked for', async () => {
    const path = join(fixture.folder, 'agent')
    const server = createServer((socket) => socket.end('agent\n'))
    await new Promise<void>((resolve) => server.listen(path, resolve))
    const mounts = [{ type: 'socket', target: '/run/buildkit/ssh_agent.0', socket: path, mode: 0o640, uid: 1000, gid: 50 }] as const
    const before = statSync(path)
    const run = await fixture.run('stat -c "%F %a %u %g" /run/buildkit/ssh_agent.0', {
      mounts,
      user: 'bob',
    })
    server.close()
    expect(run).toMatchObject({ out: 'socket 640 1000 50\n', changes: [] })
    expect([before.mode, before.uid]).not.toEqual([0o140640, 1000])
    expect(readdirSync(dirname(run.upper)).sort()).toEqual(['upper', 'work'])
  })

  test('tmpfs with a size', async () => {
    expect(
      (await fixture.run('df -k /t | tail -n1 | tr -s " " | cut -d" " -f2', { mounts: [{ type: 'tmpfs', target: '/t', size: 1 << 20 }] }))
        .out,
    ).toBe('1024\n')
  })
})

// cgroup v1 with a memory controller that we may use; on v2 the parent must have the controller enabled, which is the administrator's.
const memory = '/sys/fs/cgroup/memory'
const v1 = existsSync(memory) && existsSync('/sys/fs/cgroup/cpu') && existsSync('/sys/fs/cgroup/pids')
const name = `tbuild-test-${process.pid}`
const parents = ['memory', 'cpu', 'pids'].map((controller) => `/sys/fs/cgroup/${controller}/${name}`)
const cgroupsLeft = () =>
  parents.flatMap((parent) =>
    readdirSync(parent, { withFileTypes: true })
      .filter((entry) => entry.isDirectory())
      .map((entry) => entry.name),
  )

suite('a cgroup parent', () => {
  testWith(v1, 'cgroup v1')('a run is in a child of it, which is gone afterwards; running out of memory is told', async () => {
    for (const parent of parents) mkdirSync(parent)
    try {
      writeFileSync(`${memory}/${name}/memory.limit_in_bytes`, '20000000')
      const settings = processSettings({ cgroupParent: `/${name}` })
      expect(await fixture.run('true', { settings })).toMatchObject({ code: 0, oomKilled: false })
      const run = await fixture.run('exec sort /dev/zero', { settings })
      expect(run).toMatchObject({ code: 137, signal: 'SIGKILL', oomKilled: true })
      expect(cgroupsLeft()).toEqual([])
    } finally {
      for (const parent of parents) rmdirSync(parent)
    }
  })

  test('one that does not exist, or is no name, is refused', async () => {
    await expect(fixture.run('true', { settings: processSettings({ cgroupParent: '/no-such-cgroup' }) })).rejects.toMatchObject({
      code: 'CGROUP_UNAVAILABLE',
    })
    await expect(fixture.run('true', { settings: processSettings({ cgroupParent: '../x' }) })).rejects.toMatchObject({
      code: 'CGROUP_INVALID',
    })
  })
})

suite('the builder dies', () => {
  afterEach(() => {
    for (const parent of parents) if (existsSync(parent)) rmdirSync(parent)
  })

  test('kill -9 leaves no process, no mount and no cgroup', async () => {
    if (v1) for (const parent of parents) mkdirSync(parent)
    const spec = fixture.spec(
      'touch /started; sleep 76543 & sleep 76543',
      v1 ? { settings: processSettings({ cgroupParent: `/${name}` }) } : {},
    )
    const script = `
      import { createRunnerSandbox } from ${JSON.stringify(join(import.meta.dirname, '../../build/test-sandbox.mjs'))}
      await createRunnerSandbox({ readRootFile: () => undefined, runner: ${JSON.stringify(join(import.meta.dirname, '../../build/runner'))} })
        .exec(JSON.parse(process.argv[1]), { stdout() {}, stderr() {} })`
    const { build } = await import('esbuild')
    await build({
      entryPoints: [join(import.meta.dirname, '../../src/sandbox/runner.ts')],
      outfile: join(import.meta.dirname, '../../build/test-sandbox.mjs'),
      bundle: true,
      platform: 'node',
      format: 'esm',
      logLevel: 'error',
    })
    const builder = spawn(process.execPath, ['--input-type=module', '-e', script, JSON.stringify(spec)], { stdio: 'ignore' })
    const started = () => descendants(builder.pid as number)
    await until(() => started().filter(({ pid }) => commandLine(pid) === 'sleep 76543').length === 2, 10_000)
    const processes = started()
    expect(processes.length).toBeGreaterThanOrEqual(3)
    builder.kill('SIGKILL')
    await until(() => alive(processes).length === 0, 10_000)
    expect(alive(processes)).toEqual([])
    expect(readFileSync('/proc/self/mounts', 'utf8')).not.toContain(fixture.folder)
    if (v1) expect(cgroupsLeft()).toEqual([])
  })
})
