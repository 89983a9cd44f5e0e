import { execFileSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { afterAll, beforeAll, expect, test } from '@jest/globals'
import { createRunnerSandbox } from '../../src/sandbox/runner.ts'
import type { ExecMount, Sandbox } from '../../src/sandbox/types.ts'
import { chrootSandbox } from '../../src/solve/chroot-sandbox.ts'
import { nativeSandbox } from '../../src/solve/native-sandbox.ts'
import { layerChanges } from '../../src/tree/diff.ts'
import { layeredView } from '../../src/tree/view.ts'
import { processSettings } from '../../src/values/process-settings.ts'
import { canRun, type RunResult, readTopmost, SandboxFixture } from '../e2e/sandbox-fixture.ts'
import { describeWith } from '../support/needs.ts'
import { running } from '../support/processes.ts'

/** What a RUN leaves in its layer, on an overlay, on a copy of its root, and in a chroot of one: the members of the layer's tar are the same. */
const suite = describeWith(canRun, 'root and busybox-static')
let fixture: SandboxFixture
let layers: string[]
let kinds: Readonly<Record<'overlay' | 'copy' | 'chroot', Sandbox>>

beforeAll(() => {
  if (!canRun) return
  fixture = new SandboxFixture()
  const chroot = createRunnerSandbox({ readRootFile: readTopmost, isolation: 'chroot' })
  kinds = { overlay: fixture.sandbox, copy: nativeSandbox(fixture.sandbox), chroot: chrootSandbox(chroot) }
  const below = `mkdir -p d/deep/er e gone o/old s; echo 1 > d/one; echo 2 > d/deep/two; echo 3 > d/deep/er/three; echo e > e/e; echo g > gone/g
    echo x > o/old/x; echo s > s/same; ln s/same s/linked; mkdir c l; ln -s ../d/one l/link; mkfifo d/pipe; chown -h 33:44 l/link; echo file > file; chmod 4755 file
    printf a > c/attr; setfattr -n security.capability -v 0x0100000200040000000000000000000000000000 c/attr
    find . -exec touch -h -d @1000000000 {} +; touch -d @1000000001.5 file`
  const above =
    'mkdir -p o d; mknod gone c 0 0; setfattr -n trusted.overlay.opaque -v y o; echo new > o/new; touch -d @1100000000 o/new o d'
  layers = [fixture.makeLayer(below), fixture.makeLayer(above)]
})
afterAll(() => fixture?.remove())

/** One line a member of the layer's tar; times of the run itself are `now`. */
async function membersOf(run: RunResult, began: number): Promise<string[]> {
  const lines: string[] = []
  for await (const { entry, open } of layerChanges(run.upper, layeredView([fixture.layer, ...layers]))) {
    const content = open === undefined ? '' : createHash('sha256').update(readFileSync(open())).digest('hex').slice(0, 8)
    const time = entry.mtime >= began - 1 ? 'now' : entry.mtime
    const attributes = [...(entry.xattrs ?? [])].map(([name, value]) => `${name}=${value.toString('hex')}`).join()
    const device = `${entry.major ?? ''},${entry.minor ?? ''}`
    lines.push(
      [entry.name, entry.type, entry.mode.toString(8), entry.uid, entry.gid, time, entry.linkname, device, attributes, content].join(' '),
    )
  }
  return lines
}

async function all(
  script: string,
  mounts: readonly ExecMount[] = [],
  sandboxes = Object.values(kinds),
): Promise<{ members: string[]; out: string; seen: string }[]> {
  const results = []
  for (const sandbox of sandboxes) {
    const began = Math.floor(Date.now() / 1000)
    const run = await fixture.run(`cd /; ${script}`, { layers, mounts, sandbox })
    // What the next step would see, with everything that the tar leaves out.
    const next = await fixture.run(
      'cd /; find . -path ./proc -prune -o -path ./sys -prune -o -path ./dev -prune -o -type f -exec md5sum {} + | sort -k 2 | md5sum',
      {
        layers: [...layers, run.upper],
      },
    )
    results.push({ members: await membersOf(run, began), out: `${run.code} ${run.out}${run.err}`, seen: next.out })
  }
  return results
}

suite('a RUN on an overlay and on a copy of its root', () => {
  test.each([
    ['nothing', 'true'],
    [
      'what was there, in the layers’ order',
      'find d e o s l file -exec stat -c "%n %f %u %g %Y %s %N" {} + | sort; ls -d gone; cat file o/new s/*',
    ],
    ['a status', 'echo 1 > new; exit 3'],
    [
      'new files, directories, links, pipes',
      'mkdir -p n/a; echo 1 > n/a/f; ln n/a/f n/g; ln -s /x n/l; mkfifo n/p; chown 5:6 n/a/f; chmod 2750 n',
    ],
    ['changes', 'echo more >> d/deep/two; echo 1 > d/new; chmod 600 file; chown -h 7:8 l/link; chmod 700 e'],
    ['removals', 'rm d/one l/link; rm -r d/deep e'],
    ['a directory made anew', 'rm -r d; mkdir d; echo 1 > d/one; echo 9 > d/nine'],
    [
      'a directory made anew with a file as before',
      'cp -p d/one /tmp/k; rm -r d; mkdir d; cp -p /tmp/k d/one; rm /tmp/k; touch -d @1000000000 d',
    ],
    ['a moved directory', 'mv d moved; mv e d'],
    ['directories that change places', 'mv d t; mv e d; mv t e'],
    ['a directory below another', 'mkdir n; mv d/deep n/; mv n/deep/er d/'],
    ['other types', 'rm -r d file; echo 1 > d; mkdir file; rm o/new; ln -s x o/new'],
    ['the same content and time', 'cat file > /tmp/k; rm file; cat /tmp/k > file; chmod 4755 file; touch -d @1000000001 file; rm /tmp/k'],
    [
      'other content of the same size and time',
      'echo g > e/e; touch -d @1000000000 e/e; echo FILE > file; chmod 4755 file; touch -d @1000000001 file',
    ],
    ['one of two names of a file', 'echo changed > s/same; cat s/linked'],
    ['owners of everything', 'chown -R 12:13 s d'],
    ['a further name', 'ln file again; ln d/one d/two'],
    ['times of directories', 'touch -d @5 d; echo 1 > e/new; touch -d @6 e; touch -d @7 s/same'],
    ['a file put in the place of another', 'echo new > t; mv t d/one; cp -p file f2; mv f2 file'],
    ['moved away and back', 'mv d/one x; mv x d/one; mv e f; mv f e'],
    ['the root directory', 'chmod 711 /; echo 1 > /new'],
    ['a capability', 'cat c/attr; chmod 700 c/attr'],
    ['many', 'for i in $(seq 40); do mkdir -p m/$((i % 7)); echo $i > m/$((i % 7))/$i; done; rm m/1/1'],
  ])('%s', async (_name, script) => {
    const [overlay, copy, chroot] = await all(script)
    expect(copy).toEqual(overlay)
    expect(chroot).toEqual(overlay)
  })

  test('mounts: a mount point goes with the run, a source is read as its layers show it', async () => {
    const source = { directories: [fixture.layer, ...layers] }
    const mounts: ExecMount[] = [
      { type: 'tmpfs', target: '/m/t' },
      { type: 'file', target: '/d/secret', data: Buffer.from('s'), mode: 0o400, uid: 0, gid: 0 },
      { type: 'bind', target: '/b/all', path: '/o', writable: false, ...source },
      { type: 'bind', target: '/b/file', path: '/l/link', writable: false, ...source },
      { type: 'bind', target: '/b/rw', path: '/d', writable: true, ...source },
      { type: 'bind', target: '/b/one', path: '/s', writable: false, directories: [layers[0] as string] },
    ]
    const script = 'ls /b/all; cat /b/file /d/secret; echo 1 > /b/rw/one; ls /b/rw; touch /m/t/x; ls /b/one; touch /b/all/x; touch /kept'
    const [overlay, copy] = await all(script, mounts, [kinds.overlay, kinds.copy])
    expect(copy).toEqual(overlay)
    expect(copy?.members.map((line) => line.split(' ')[0])).toEqual(['dev', 'kept', 'proc', 'sys'])
    expect(execFileSync('cat', ['d/one'], { cwd: layers[0] as string, encoding: 'utf8' })).toBe('1\n')
  })

  test('in a chroot mounts are copies, over what is there, and nothing of them is in the layer', async () => {
    const source = { directories: [fixture.layer, ...layers] }
    const mounts: ExecMount[] = [
      { type: 'tmpfs', target: '/m/t' },
      { type: 'cache', target: '/d/deep', directory: '/nonexistent', path: '/', writable: true },
      { type: 'file', target: '/d/secret', data: Buffer.from('s'), mode: 0o400, uid: 33, gid: 0 },
      { type: 'bind', target: '/o', path: '/d', writable: true, ...source },
      { type: 'bind', target: '/b/file', path: '/l/link', writable: false, ...source },
    ]
    const script = `ls /m/t /d/deep; cat /d/secret /b/file; stat -c '%a %u' /d/secret /m/t; ls /o; touch /m/t/x /d/deep/x /o/x; echo x > /dev/null
      cat /etc/hosts | wc -l; ls /dev /proc /sys | wc -l; cat /d/one; touch /kept`
    const [chroot] = await all(script, mounts, [kinds.chroot])
    expect(chroot?.out).toBe('0 /d/deep:\n\n/m/t:\ns1\n400 33\n1777 0\ndeep\none\npipe\n2\n16\n1\n')
    expect(chroot?.members.map((line) => line.split(' ')[0])).toEqual(['dev', 'kept', 'proc', 'sys'])
  })

  test.each<[string, object]>([
    ['--network=none', { network: 'none' }],
    ['--shm-size', { settings: processSettings({ shmSize: 1 }) }],
    ['--cgroup-parent', { settings: processSettings({ cgroupParent: '/x' }) }],
    ['type=ssh', { mounts: [{ type: 'socket', target: '/s', socket: '/s', mode: 0, uid: 0, gid: 0 }] }],
    ['a tmpfs with a size', { mounts: [{ type: 'tmpfs', target: '/s', size: 1 }] }],
  ])('a chroot refuses %s by name', async (name, spec) => {
    await expect(fixture.run('true', { ...spec, sandbox: kinds.chroot })).rejects.toMatchObject({
      code: 'ISOLATION',
      message: expect.stringContaining(name),
    })
  })

  test('in a chroot what the command leaves printing without end is ended', async () => {
    const run = await fixture.run('yes & yes >&2 & sleep 0.1; echo up', { sandbox: kinds.chroot })
    expect(run).toMatchObject({ code: 0, out: expect.stringMatching(/^up$/m) })
  })

  test('in a chroot what the command leaves running is ended', async () => {
    const run = await fixture.run('(setsid sh -c "sleep 4711; true" & ) ; (sleep 4712 &) ; echo up', { sandbox: kinds.chroot })
    expect(run).toMatchObject({ code: 0, out: 'up\n' })
    expect([...running('sleep 4711'), ...running('sleep 4712')]).toEqual([])
  })

  test('a mount source that is not there is an error', async () => {
    const mounts: ExecMount[] = [{ type: 'bind', target: '/b', path: '/nope', writable: true, directories: layers }]
    for (const sandbox of Object.values(kinds)) {
      await expect(fixture.run('true', { layers, mounts, sandbox })).rejects.toMatchObject({
        ...{
          code: 'SANDBOX_SETUP',
          message: expect.stringContaining('mount source /nope for /b: No such file'),
          hint: expect.stringContaining('--mount'),
        },
      })
    }
  })
})
