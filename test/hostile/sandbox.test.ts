import { execFileSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { closeSync, existsSync, mkdtempSync, openSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { release, tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from '@jest/globals'
import { nativeFolder } from '../../src/base/sys.ts'
import type { ExecMount } from '../../src/sandbox/types.ts'
import { canRun, SandboxFixture } from '../e2e/sandbox-fixture.ts'
import { describeWith } from '../support/needs.ts'
import { running } from '../support/processes.ts'

const suite = describeWith(canRun, 'root and busybox-static')
let fixture: SandboxFixture
/** A directory of the host that no run may change. */
let victim: string
beforeAll(() => {
  if (!canRun) return
  fixture = new SandboxFixture()
  victim = mkdtempSync(join(tmpdir(), 'tbuild-victim-'))
})
afterAll(() => {
  fixture?.remove()
  if (victim) rmSync(victim, { recursive: true, force: true })
})

/** Landlock can scope abstract sockets since its sixth version, Linux 6.12. */
function landlockVersion(): number {
  const [major = 0, minor = 0] = release().split('.').map(Number)
  const enabled = existsSync('/sys/kernel/security/lsm') ? readFileSync('/sys/kernel/security/lsm', 'utf8').includes('landlock') : true
  return enabled && (major > 6 || (major === 6 && minor >= 12)) ? 6 : 0
}

const tmpfs = (target: string): ExecMount => ({ type: 'tmpfs', target })
const setupFailure = (pattern: RegExp) => ({ code: 'SANDBOX_SETUP', message: expect.stringMatching(pattern) })

suite('mount targets', () => {
  test('CVE-2021-30465 a target that is a symlink to the host is resolved inside the root', async () => {
    const layer = fixture.makeLayer(`ln -s ${victim} out; ln -s ../../../../../../..${victim} up`)
    const run = await fixture.run('touch /out/a /up/b; ls /out /up', { layers: [layer], mounts: [tmpfs('/out'), tmpfs('/up/sub')] })
    expect(run.code).toBe(0)
    expect(readdirSync(victim)).toEqual([])
  })

  test('CVE-2023-27561 /proc of the image is a symlink', async () => {
    const layer = fixture.makeLayer('mkdir x; ln -s /x proc')
    await expect(fixture.run('true', { layers: [layer] })).rejects.toMatchObject(
      setupFailure(/\/proc of the image must be an ordinary directory/),
    )
  })

  test('CVE-2019-16884 /sys of the image is a symlink, a file', async () => {
    await expect(fixture.run('true', { layers: [fixture.makeLayer('ln -s tmp sys')] })).rejects.toMatchObject(
      setupFailure(/ordinary directory/),
    )
    await expect(fixture.run('true', { layers: [fixture.makeLayer('touch sys')] })).rejects.toMatchObject(setupFailure(/\/sys/))
  })

  test('CVE-2026-41579 /dev of the image is a symlink to the host', async () => {
    writeFileSync(join(victim, 'ptmx'), 'host')
    await expect(fixture.run('true', { layers: [fixture.makeLayer(`ln -s ${victim} dev`)] })).rejects.toMatchObject(
      setupFailure(/\/dev of the image/),
    )
    expect(readdirSync(victim)).toEqual(['ptmx'])
    rmSync(join(victim, 'ptmx'))
  })

  test.each(['/proc', '/proc/self/attr', '/sys/fs', '/proc/../sys', '/'])('CVE-2025-52881 a mount on %s is refused', async (target) => {
    await expect(fixture.run('true', { mounts: [tmpfs(target)] })).rejects.toMatchObject({ code: 'MOUNT_TARGET_INVALID' })
  })

  test('CVE-2025-52881 a mount that reaches /proc through a symlink of the image is refused', async () => {
    const layer = fixture.makeLayer('ln -s /proc p')
    await expect(fixture.run('true', { layers: [layer], mounts: [tmpfs('/p/sys/kernel')] })).rejects.toMatchObject(
      setupFailure(/inside \/proc or \/sys/),
    )
    await expect(fixture.run('true', { layers: [layer], mounts: [tmpfs('/p/self/attr')] })).rejects.toMatchObject(
      setupFailure(/inside \/proc or \/sys|symbolic links/),
    )
  })

  test('a symlink loop on the way to a target is an error, not a hang', async () => {
    await expect(
      fixture.run('true', { layers: [fixture.makeLayer('ln -s b a; ln -s a b')], mounts: [tmpfs('/a/x')] }),
    ).rejects.toMatchObject(setupFailure(/symbolic links/))
  })
})

suite('mount sources', () => {
  const from = (directories: string[], path: string, writable = false): ExecMount => ({
    type: 'bind',
    target: '/x',
    directories,
    path,
    writable,
  })

  test('CVE-2024-1753 the source is a symlink to / of the host', async () => {
    const layer = fixture.makeLayer('ln -s / rootdir; echo mine > hello')
    const run = await fixture.run('ls /x; touch /x/BREAKOUT', { mounts: [from([layer], '/rootdir', true)] })
    expect(run.out).toContain('hello')
    expect(existsSync('/BREAKOUT')).toBe(false)
  })

  test.each(['../../../../../../etc', '/../../etc', 'a/../../etc'])('CVE-2024-9675 the source climbs out with %s', async (path) => {
    const layer = fixture.makeLayer('mkdir a etc; echo inside > etc/hostname')
    expect((await fixture.run('cat /x/hostname', { mounts: [from([layer], path)] })).out).toBe('inside\n')
    const cache: ExecMount = { type: 'cache', target: '/x', directory: layer, path, writable: true }
    expect((await fixture.run('cat /x/hostname', { mounts: [cache] })).out).toBe('inside\n')
  })

  test('CVE-2024-23651 the deterministic form: a cache’s sub-path is a symlink to /etc of the host', async () => {
    const directory = fixture.makeLayer('ln -s /etc sel')
    const cache: ExecMount = { type: 'cache', target: '/x', directory, path: 'sel', writable: true }
    await expect(fixture.run('cat /x/hostname', { mounts: [cache] })).rejects.toMatchObject(setupFailure(/sel/))
  })

  test('CVE-2024-11218 the sub-path of a cache is swapped for a symlink while runs mount it', async () => {
    const directory = fixture.makeLayer('mkdir d; echo cache > d/hostname')
    writeFileSync(join(victim, 'hostname'), 'HOST')
    const script = `while [ ! -e /c/stop ]; do mv /c/d /c/e; ln -s ${victim} /c/d; rm /c/d; mv /c/e /c/d; done`
    const swapper = fixture.run(script, { mounts: [{ type: 'cache', target: '/c', directory, path: '', writable: true }] })
    const seen = new Set<string>()
    for (let i = 0; i < 40; i++) {
      try {
        const cache: ExecMount = { type: 'cache', target: '/x', directory, path: 'd', writable: true }
        seen.add((await fixture.run('cat /x/hostname', { mounts: [cache] })).out)
      } catch (error) {
        expect(error).toMatchObject({ code: 'SANDBOX_SETUP' })
      }
    }
    writeFileSync(join(directory, 'stop'), '')
    await swapper
    expect(seen).not.toContain('HOST')
    expect(readdirSync(victim)).toEqual(['hostname'])
    rmSync(join(victim, 'hostname'))
  })
})

suite('removing mount points', () => {
  test('CVE-2024-23652 the parent was replaced by a symlink to the host', async () => {
    execFileSync('mkdir', ['-p', join(victim, 'empty')])
    const run = await fixture.run(`mv /x /m && mkdir /x && ln -s ${victim} /x/y`, { mounts: [tmpfs('/x/y/empty')] })
    expect(run.code).toBe(0)
    expect(readdirSync(victim)).toEqual(['empty'])
    rmSync(join(victim, 'empty'), { recursive: true })
  })

  test('a file of the image at the place of a mount point is not removed', async () => {
    const layer = fixture.makeLayer('mkdir -p run/secrets; : > run/secrets/x; : > etc-hosts')
    const mounts: ExecMount[] = [{ type: 'file', target: '/run/secrets/x', data: Buffer.from('s'), mode: 0o400, uid: 0, gid: 0 }]
    expect((await fixture.run('true', { layers: [layer], mounts })).changes).toEqual([])
  })
})

suite('the working directory', () => {
  test.each([3, 4, 5, 6, 7, 8, 9, 10, 12, 20, 200])('CVE-2024-21626 WORKDIR /proc/self/fd/%i', async (number) => {
    const leak = openSync('/', 'r')
    await expect(fixture.run('ls; cat ../../../../etc/shadow', { cwd: `/proc/self/fd/${number}` })).rejects.toMatchObject({
      code: 'SANDBOX_SETUP',
    })
    closeSync(leak)
  })

  test('CVE-2024-21626 the working directory is a symlink of the image to an open file', async () => {
    const layer = fixture.makeLayer(
      'for i in 3 4 5 6 7 8 9; do ln -s /proc/self/fd/$i w$i; done; ln -s /proc/1/cwd c; ln -s /proc/1/root r',
    )
    for (const name of ['w3', 'w4', 'w5', 'w6', 'w7', 'w8', 'w9', 'c', 'r']) {
      await expect(fixture.run('ls ..', { layers: [layer], cwd: `/${name}` })).rejects.toMatchObject({ code: 'SANDBOX_SETUP' })
    }
  })

  test('CVE-2026-55686 a working directory below a symlink is made in the image', async () => {
    const run = await fixture.run('pwd -P', { layers: [fixture.makeLayer(`ln -s ${victim} w`)], cwd: '/w/new', user: 'bob' })
    expect(readdirSync(victim)).toEqual([])
    expect(run.out).toBe(`${victim}/new\n`)
  })
})

suite('what a run inherits', () => {
  test('rule 5 no file of the builder, not even beyond a gap of numbers', async () => {
    const files = Array.from({ length: 30 }, () => openSync('/etc', 'r'))
    for (const fd of files.slice(3, 20)) closeSync(fd)
    const { out } = await fixture.run('ls /proc/self/fd')
    for (const fd of [...files.slice(0, 3), ...files.slice(20)]) closeSync(fd)
    // 3 is the directory that ls reads.
    expect(out).toBe('0\n1\n2\n3\n')
  })

  test('CVE-2021-3602 nothing of the builder’s environment, and no helper, is inside', async () => {
    process.env.CI_SECRET = 'hunter2'
    const { out, err } = await fixture.run('cat /proc/*/environ | tr "\\0" "\\n"; env; echo pids /proc/[0-9]*')
    delete process.env.CI_SECRET
    expect(out + err).not.toContain('hunter2')
    expect(out).toContain('pids /proc/1\n')
  })

  test('TIOCSTI: no terminal, a session of its own', async () => {
    const { out } = await fixture.run('cut -d" " -f6,7 /proc/self/stat; tty; (: < /dev/tty) || echo none')
    expect(out).toBe('1 0\nnot a tty\nnone\n')
  })

  test('CVE-2026-57231 a bare name in the environment is refused, not taken from the host', async () => {
    await expect(fixture.run('env', { env: ['*'] })).rejects.toMatchObject({ code: 'ENV_INVALID' })
    await expect(fixture.run('env', { env: ['=x'] })).rejects.toMatchObject({ code: 'ENV_INVALID' })
  })

  test('rule 11 a secret file lies on a tmpfs and no other run sees it', async () => {
    const mounts: ExecMount[] = [{ type: 'file', target: '/run/secrets/k', data: Buffer.from('hunter2'), mode: 0o400, uid: 1000, gid: 0 }]
    const run = await fixture.run(
      'stat -f -c %T /run/secrets/k; stat -c %a:%u /run/secrets/k; cat /run/secrets/k; echo x > /run/secrets/k',
      { user: 'bob', mounts },
    )
    expect(run).toMatchObject({ code: 1, out: 'tmpfs\n400:1000\nhunter2' })
    expect(run.changes).toEqual([])
    expect((await fixture.run('ls /run')).out).toBe('')
  })
})

suite('the kernel', () => {
  test('CVE-2019-5736 the runner cannot be overwritten from inside', async () => {
    const runner = join(nativeFolder(), 'runner')
    const hash = () => createHash('sha256').update(readFileSync(runner)).digest('hex')
    const before = hash()
    const layer = fixture.makeLayer("mkdir -p bin; printf '#!/proc/self/exe\\n' > evil; chmod 755 evil")
    await fixture.run('', { layers: [layer], args: ['/evil'] })
    await fixture.run('for i in 1 2 3 4 5 6 7 8 9; do cat /bin/true > /proc/1/exe; done 2>/dev/null; true')
    expect(hash()).toBe(before)
  })

  test('CVE-2015-3630 masked and read-only parts of /proc and /sys', async () => {
    const { out } = await fixture.run(
      'wc -c < /proc/keys; wc -c < /proc/timer_list; ls /sys/firmware | wc -l; for f in /proc/sys/kernel/core_pattern /proc/sysrq-trigger /sys/kernel/profiling; do (echo x > $f) 2>/dev/null && echo WRITTEN $f; done; true',
    )
    expect(out).toBe('0\n0\n0\n')
  })

  test('CVE-2022-0492 no mount, no namespace', async () => {
    const { out } = await fixture.run(
      'for c in "mount -t tmpfs none /tmp" "unshare -U true" "unshare -m true" "umount /proc" "chroot / unshare -r true"; do $c 2>/dev/null && echo "ALLOWED $c"; done; true',
    )
    expect(out).toBe('')
  })

  test('a device node that RUN makes does not open, neither in the root nor in /dev, /tmp or a mount', async () => {
    const cache = fixture.makeLayer('true')
    const mounts: ExecMount[] = [tmpfs('/t'), { type: 'cache', target: '/c', directory: cache, path: '', writable: true }]
    const { out } = await fixture.run(
      'for d in / /dev /tmp /t /c /dev/shm; do mknod $d/zero2 c 1 5; head -c 1 $d/zero2 2>/dev/null | wc -c; done',
      { mounts },
    )
    expect(out).toBe('0\n0\n0\n0\n0\n0\n')
  })

  test('the host’s device nodes keep their mode and owner', async () => {
    const before = statSync('/dev/null')
    await fixture.run('chmod 600 /dev/null; chown 1000 /dev/null; chmod 600 /proc/self/fd/0; rm /dev/null; mknod /dev/null c 1 3')
    const after = statSync('/dev/null')
    expect([after.mode, after.uid, after.ino]).toEqual([before.mode, before.uid, before.ino])
  })

  test('CVE-2020-15257 the host’s abstract sockets are out of reach, in its network too', async () => {
    const layer = fixture.makeLayer(`cat > connect.c <<'END'
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
int main(int count, char **words) {
  struct sockaddr_un name = {.sun_family = AF_UNIX};
  strcpy(name.sun_path + 1, words[count - 1]);
  int fd = socket(AF_UNIX, SOCK_STREAM, 0);
  /* Node 20 fills the name up with NULs, later ones do not. */
  socklen_t size = offsetof(struct sockaddr_un, sun_path) + 1 + strlen(words[count - 1]);
  int failed = connect(fd, (struct sockaddr *)&name, sizeof name) < 0;
  if (failed && errno == ECONNREFUSED) failed = connect(fd, (struct sockaddr *)&name, size) < 0;
  puts(failed ? strerror(errno) : "connected");
}
END
sed -i '1i #include <errno.h>' connect.c; cc -static -o connect connect.c`)
    const name = `tbuild-test-${process.pid}`
    const server = createServer((socket) => socket.destroy())
    await new Promise<void>((resolve) => server.listen(`\0${name}`, resolve))
    const connected = async (network: 'default' | 'none' | 'host') =>
      (await fixture.run(`/connect ${name}`, { layers: [layer], network })).out
    const supported = landlockVersion() >= 6
    const results = [await connected('default'), await connected('none'), await connected('host')]
    await new Promise((resolve) => server.close(resolve))
    expect(results).toEqual([supported ? 'Operation not permitted\n' : 'connected\n', 'Connection refused\n', 'connected\n'])
  })

  test('processes of the host are not visible, and none of them is the parent', async () => {
    expect((await fixture.run('echo $$ $PPID; readlink /proc/1/exe; echo /proc/[0-9]*')).out).toBe('1 0\n/bin/busybox\n/proc/1\n')
  })

  test('a fork bomb of orphans ends with the run', async () => {
    const run = await fixture.run('i=0; while [ $i -lt 200 ]; do (sleep 54321 &) ; i=$((i+1)); done')
    expect(run.code).toBe(0)
    expect(running('sleep 54321')).toEqual([])
  })
})

suite('USER', () => {
  const hostile = () =>
    fixture.makeLayer('mkdir etc; printf "4294967296:x:0:0::/:\\n99999999999999999999:x:0:0::/:\\n-1:x:0:0::/:\\n" > etc/passwd')
  test.each(['4294967296', '99999999999999999999', '4294967295', '0:4294967296'])(
    'CVE-2024-40635 USER %s is out of range, never a name',
    async (user) => {
      await expect(fixture.run('id', { user, layers: [hostile()] })).rejects.toMatchObject({ code: 'USER_INVALID' })
    },
  )
})
