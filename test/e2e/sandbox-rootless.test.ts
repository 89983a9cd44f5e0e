import { execFileSync, spawnSync } from 'node:child_process'
import {
  chmodSync,
  chownSync,
  copyFileSync,
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { constants, tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from '@jest/globals'
import { sys } from '../../src/base/sys.ts'
import { AT_FDCWD } from '../../src/base/sys-constants.ts'
import { root } from '../support/cli.ts'
import { describeWith } from '../support/needs.ts'
import { canRun, type RunResult } from './sandbox-fixture.ts'

const suite = describeWith(canRun, 'root and busybox-static')
/** An id that owns nothing. */
const ID = 54321
let home: string
/** Of a copy: a checkout in somebody's home may be closed to others. */
let runner: string
let bundle: string

beforeAll(async () => {
  if (!canRun) return
  home = mkdtempSync(join(tmpdir(), 'tbuild-rootless-'))
  chownSync(home, ID, ID)
  const program = join(home, 'program')
  mkdirSync(join(program, 'build'), { recursive: true })
  for (const file of ['package.json', 'build/runner', 'build/sys.node']) copyFileSync(join(root, file), join(program, file))
  runner = join(program, 'build/runner')
  bundle = join(program, 'build/test-sandbox-fixture.mjs')
  const { build } = await import('esbuild')
  const entry = join(import.meta.dirname, 'sandbox-fixture.ts')
  await build({ entryPoints: [entry], outfile: bundle, bundle: true, platform: 'node', format: 'esm', logLevel: 'error' })
})
afterAll(() => {
  if (home) rmSync(home, { recursive: true, force: true })
})

/** Runs a script in a sandbox inside a user namespace that an unprivileged user entered. */
function rootless(script: string, more: object = {}): RunResult | { error: string; hint?: string } {
  const program = `
    import { SandboxFixture } from ${JSON.stringify(bundle)}
    import fs from 'node:fs'
    import path from 'node:path'
    const fixture = new SandboxFixture()
    const more = JSON.parse(process.argv[2], (key, value) => (key === 'data' ? Uint8Array.from(value) : value))
    const result = await fixture.run(process.argv[1], more).catch((error) => ({ error: error.message, hint: error.hint }))
    if (fs.existsSync(path.join(result.upper ?? '', '../run-owners'))) result.given = fs.readFileSync(path.join(result.upper, '../run-owners'), 'utf8').split('\\0')
    await fixture.remove()
    console.log(JSON.stringify(result))`
  const node = [process.execPath, '--input-type=module', '-e', program, script, JSON.stringify(more)]
  const child = spawnSync(runner, ['userns', `0 ${ID} 1`, `0 ${ID} 1`, 'owner', ...node], {
    uid: ID,
    gid: ID,
    cwd: '/',
    env: { PATH: process.env.PATH, TMPDIR: home },
    encoding: 'utf8',
  })
  if (child.status !== 0) throw new Error(child.stderr)
  return JSON.parse(child.stdout)
}

/** A mount /p with a program `calls` of these lines of C. */
function compiled(lines: string): object {
  const folder = mkdtempSync(join(home, 'calls-'))
  chmodSync(folder, 0o755)
  const names = ['errno', 'fcntl', 'stdio', 'unistd', 'sys/mman', 'sys/stat', 'sys/syscall']
  const source = `#define _GNU_SOURCE\n${names.map((name) => `#include <${name}.h>\n`).join('')}int main(void) { ${lines} }\n`
  execFileSync(process.env.CC ?? 'cc', ['-static', '-w', '-x', 'c', '-', '-o', join(folder, 'calls')], { input: source })
  return { type: 'bind', target: '/p', directories: [folder], path: '', writable: false }
}

suite('a map of ids', () => {
  /** What newuidmap is given for `count` ranges, and the runner's answer. */
  function map(count: number) {
    const folder = mkdtempSync(join(home, 'helpers-'))
    const given = join(folder, 'given')
    writeFileSync(join(folder, 'newuidmap'), `#!/bin/sh\nshift\necho "$@" > ${given}\n`, { mode: 0o755 })
    writeFileSync(join(folder, 'newgidmap'), '#!/bin/sh\necho refused >&2\nexit 1\n', { mode: 0o755 })
    const ranges = Array.from({ length: count }, (_, at) => `${at} ${100000 + at} 1`)
    const child = spawnSync(runner, ['userns', ranges.join(','), '0 0 1', 'helpers', 'true'], {
      ...{ cwd: '/', env: { PATH: `${folder}:/usr/bin:/bin` }, encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe', 'pipe'] },
    })
    return { whole: existsSync(given) && readFileSync(given, 'utf8') === `${ranges.join(' ')}\n`, status: child.output[3] }
  }

  test('reaches newuidmap whole, as many ranges as the kernel takes', () => {
    expect(map(1)).toEqual({ whole: true, status: 'error 0 newgidmap failed (refused)\n' })
    expect(map(340)).toEqual({ whole: true, status: 'error 0 newgidmap failed (refused)\n' })
  })

  test('of more ranges is refused and not cut', () => {
    expect(map(341)).toEqual({ whole: false, status: 'error 7 run newuidmap: Argument list too long\n' })
  })
})

suite('without root, with a single id', () => {
  test('a run works and its changes land in the upper', () => {
    expect(
      rootless('id -u; hostname; touch /etc/new; cat /etc/hosts | wc -l; echo x > /dev/null; head -c 1 /dev/urandom | wc -c'),
    ).toMatchObject({
      code: 0,
      out: '0\nbuildkitsandbox\n2\n1\n',
    })
  })

  test('network none, tmpfs, secrets', () => {
    const mounts = [{ type: 'tmpfs', target: '/a/b' }]
    expect(rootless('ip -o link | wc -l; touch /a/b/c', { network: 'none', mounts })).toMatchObject({ code: 0, out: '1\n', changes: [] })
  })

  test('capabilities and seccomp are the same as for root', () => {
    expect(rootless('grep -E "^(CapEff|CapInh|Seccomp:)" /proc/self/status | cut -f2; unshare -m true || echo refused')).toMatchObject({
      out: '0000000000000000\n00000000a80425fb\n2\nrefused\n',
    })
  })

  test('another user is what root is called, without power', () => {
    const script =
      'id -u; id -g; echo $HOME; stat -c %u:%g .; grep CapEff /proc/self/status | cut -f2; chown 5 /tmp 2>/dev/null || echo refused; echo > /dev/stdout'
    expect(rootless(script, { user: 'bob', cwd: '/made' })).toMatchObject({
      code: 0,
      out: '1000\n1000\n/home/bob\n1000:1000\n0000000000000000\nrefused\n\n',
    })
  })

  test('a namespace of the user’s own gives no mount, no host name and no way to the other namespace', () => {
    const script = 'mount -t tmpfs none /mnt; hostname x; nsenter -t 1 -U true; umount /proc; unshare -U true; echo done'
    const result = rootless(script, { user: 'bob' })
    expect(result).toMatchObject({ code: 0, out: 'done\n' })
    expect(
      (result as RunResult).err.split('\n').filter((line) => /not permitted|denied|not found/.test(line)).length,
    ).toBeGreaterThanOrEqual(4)
  })

  test.each(['sandbox', 'insecure'])('chown succeeds, and who becomes another user is told so: %s', (security) => {
    expect(
      rootless('touch f && chown 33:44 f && stat -c %u:%g f && su bob -c "id -u; id -G; chown 0 f || su -c id"; id -u', { security }),
    ).toMatchObject({
      code: 0,
      out: '0:0\n1000\n1000 50\n0\n',
    })
  })

  test('who answers a chown goes nowhere that the run does not, and ends with it', () => {
    const outside = join(home, 'outside')
    writeFileSync(outside, 'x')
    chownSync(outside, ID, ID)
    const before = lstatSync(outside)
    const script = `ln -s ${outside} /absolute; ln -s ../../../../../..${outside} /relative; mkdir -p /a/b
      for path in ${outside} ../../../..${outside} /absolute /relative /proc/1/root${outside} /proc/1/cwd/../../..${outside} /proc/self/root${outside}; do
        chown 5:5 $path; chown -h 5:5 $path; (cd /a/b; chown 5:5 $path)
      done 2>/dev/null; chown 5:5 /dev/null /proc/1/mem /sys 2>/dev/null; echo done; exit 3`
    expect(rootless(script)).toMatchObject({ code: 3, out: 'done\n' })
    expect(lstatSync(outside)).toMatchObject({ uid: ID, gid: ID, ctimeMs: before.ctimeMs })
    expect(sys().listxattrat(AT_FDCWD, outside)).toEqual([])
    const ours = (pid: string) => /^\d+$/.test(pid) && lstatSync(`/proc/${pid}`, { throwIfNoEntry: false })?.uid === ID
    expect(readdirSync('/proc').filter(ours)).toEqual([])
  })

  test('descriptors that are none lead nowhere, least of all to the machine’s /proc', () => {
    const outside = join(home, 'reached')
    writeFileSync(outside, 'x')
    chownSync(outside, ID, ID)
    const before = lstatSync(outside)
    const lines = String.raw`for (int fd = -8; fd < 0; fd++) {
        printf("%d", fd != AT_FDCWD && fchownat(fd, "../../..${outside}", 5, 5, 0) < 0 ? errno : 0);
        printf(" %d", fchown(fd, 5, 5) < 0 ? errno : 0);
        printf(" %d\n", fchownat(fd, "", 5, 5, AT_EMPTY_PATH) < 0 ? errno : 0);
      }
      printf("%d", fchown(AT_FDCWD, 5, 5) < 0 ? errno : 0);
      printf(" %d", syscall(SYS_fchownat, AT_FDCWD, 0, 5, 5, 0) < 0 ? errno : 0);
      printf(" %d\n", syscall(SYS_fchownat, AT_FDCWD, 0, 5, 5, AT_SYMLINK_NOFOLLOW) < 0 ? errno : 0);`
    const bad = `${constants.errno.EBADF} ${constants.errno.EBADF} ${constants.errno.EBADF}\n`
    const { EBADF, EFAULT } = constants.errno
    expect(rootless('/p/calls', { mounts: [compiled(lines)] })).toMatchObject({
      code: 0,
      out: `${bad.repeat(8)}${EBADF} ${EFAULT} ${EFAULT}\n`,
    })
    expect(lstatSync(outside)).toMatchObject({ uid: ID, gid: ID, ctimeMs: before.ctimeMs })
    expect(sys().listxattrat(AT_FDCWD, outside)).toEqual([])
  })

  test('who gave root up does not get it back', () => {
    const lines = String.raw`setgid(1000); setuid(1000);
      printf("%d %d", setuid(0) < 0 ? errno : 0, seteuid(0) < 0 ? errno : 0);
      printf(" %d %d\n", (int)getuid(), (int)geteuid());`
    const { EPERM } = constants.errno
    expect(rootless('/p/calls; exec /p/calls', { mounts: [compiled(lines)] })).toMatchObject({
      code: 0,
      out: `${EPERM} ${EPERM} 1000 1000\n`.repeat(2),
    })
  })

  test('groups that cannot be read whole change nothing', () => {
    const lines = String.raw`unsigned page = sysconf(_SC_PAGESIZE), set[] = {7, 8}, groups[2];
      char *memory = mmap(0, 2 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
      munmap(memory + page, page);
      unsigned *last = (unsigned *)(memory + page) - 1;
      *last = 9;
      printf("%d", (int)syscall(SYS_setgroups, 2, set));
      printf(" %d", syscall(SYS_setgroups, 2, last) < 0 ? errno : 0);
      syscall(SYS_getgroups, 2, groups);
      printf(" %u %u\n", groups[0], groups[1]);`
    expect(rootless('/p/calls', { mounts: [compiled(lines)] })).toMatchObject({ code: 0, out: `0 ${constants.errno.EFAULT} 7 8\n` })
  })

  test('a link that is given away below another root belongs to that owner there', () => {
    const lines = String.raw`chroot("/other"); printf("%d\n", lchown("/link", 5, 6) < 0 ? errno : 0);`
    const script = 'mkdir /other; ln -s x /other/link; ln -s x /link; /p/calls'
    expect(rootless(script, { mounts: [compiled(lines)] })).toMatchObject({ code: 0, out: '0\n', given: ['/other/link', '5:6', ''] })
  })

  test('a secret of another owner is the user’s', () => {
    const mounts = [{ type: 'file', target: '/s', data: [65], mode: 0o400, uid: 1000, gid: 5 }]
    expect(rootless('cat /s; stat -c %u:%a /s', { user: 'bob', mounts })).toMatchObject({ code: 0, out: 'A1000:400\n' })
  })
})

suite('runner userns', () => {
  const userns = (script: string) =>
    spawnSync(runner, ['userns', `0 ${ID} 1`, `0 ${ID} 1`, 'owner', 'sh', '-c', script], { uid: ID, gid: ID, cwd: '/', encoding: 'utf8' })

  test('stdio and exit status are the command’s', () => {
    expect(userns('echo out; echo err >&2; exit 7')).toMatchObject({ status: 7, stdout: 'out\n', stderr: 'err\n' })
    expect(userns('kill -TERM $$').status).toBe(143)
  })

  /** What the runner tells on file 3. */
  const told = (words: readonly string[], options: object = { uid: ID, gid: ID }) => {
    const child = spawnSync(runner, ['userns', ...words], {
      cwd: '/',
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'pipe', 'pipe'],
      ...options,
    })
    return { status: child.status, stdout: child.stdout, stderr: child.stderr, told: child.output[3] }
  }

  test('a map that the kernel refuses is an error, nothing is run', () => {
    expect(told(['0 0 1', '0 0 1', 'owner', 'echo', 'ran'])).toEqual({
      ...{ status: 125, stdout: '', stderr: '' },
      told: expect.stringMatching(/^error 1 write \/proc\/\d+\/uid_map: Operation not permitted\n$/),
    })
  })

  test('it is told once that the command begins', () => {
    expect(told([`0 ${ID} 1`, `0 ${ID} 1`, 'owner', 'sh', '-c', 'echo ran; echo x >&3 || exit 4'])).toMatchObject({
      status: 4,
      told: 'entered\n',
    })
  })

  test('what newuidmap says is passed on, with nothing on standard error', () => {
    const folder = mkdtempSync(join(home, 'helpers-'))
    writeFileSync(
      join(folder, 'newuidmap'),
      '#!/bin/sh\necho "newuidmap: write to uid_map failed: Operation not permitted" >&2\nexit 1\n',
      { mode: 0o755 },
    )
    chmodSync(folder, 0o755)
    const options = { uid: ID, gid: ID, env: { PATH: `${folder}:${process.env.PATH}` } }
    expect(told([`0 ${ID} 1,1 100000 65536`, `0 ${ID} 1,1 100000 65536`, 'helpers', 'echo', 'ran'], options)).toEqual({
      ...{ status: 125, stdout: '', stderr: '' },
      told: 'error 0 newuidmap failed (newuidmap: write to uid_map failed: Operation not permitted)\n',
    })
  })
})
