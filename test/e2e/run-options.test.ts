import { spawnSync } from 'node:child_process'
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmdirSync,
  rmSync,
  statfsSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from '@jest/globals'
import { type Finished, root, script, tbuild } from '../support/cli.ts'
import { describeWith } from '../support/needs.ts'
import { canRun } from './sandbox-fixture.ts'

/** The options of `docker build` that change what a RUN sees, from the command line to the process. */
const suite = describeWith(canRun, 'root and busybox-static')
let folder: string

beforeAll(() => {
  if (!canRun) return
  script('base-images.mjs', ['busybox'])
  folder = mkdtempSync(join(tmpdir(), 'tbuild-options-'))
})
afterAll(() => {
  if (folder) rmSync(folder, { recursive: true, force: true })
})

let count = 0

/** Builds a Dockerfile of these lines; `file` gives what a RUN wrote to /out. */
function build(lines: string, args: readonly string[] = []): Finished & { out(): string } {
  const context = join(folder, `${count++}`)
  mkdirSync(context)
  writeFileSync(join(context, 'Dockerfile'), `FROM busybox AS base\n${lines}\nFROM scratch\nCOPY --from=base /out /out\n`)
  const base = ['--build-context', `busybox=oci-layout://${join(root, 'build/bases/busybox')}`]
  const output = join(context, 'result')
  const finished = tbuild(['--root', join(folder, 'store'), '--progress', 'plain', ...base, '-o', output, ...args, context])
  return { ...finished, out: () => readFileSync(join(output, 'out'), 'utf8') }
}

function written(lines: string, args: readonly string[] = []): string {
  const built = build(lines, args)
  if (built.status !== 0) throw new Error(built.stderr)
  return built.out()
}

suite('where tbuild itself runs', () => {
  test('in a chroot', () => {
    const context = join(folder, 'in-chroot')
    mkdirSync(context)
    writeFileSync(join(context, 'Dockerfile'), 'FROM busybox\nRUN true\n')
    const base = `busybox=oci-layout://${join(root, 'build/bases/busybox')}`
    const command = [
      process.execPath,
      join(root, 'bin/tbuild.js'),
      '--root',
      join(folder, 'chroot-store'),
      '--build-context',
      base,
      context,
    ]
    const inside = 'mount --rbind / "$0" && exec chroot "$0" "$@"'
    const tree = mkdtempSync(join(tmpdir(), 'tbuild-chroot-'))
    const run = spawnSync('unshare', ['--mount', '--propagation', 'private', 'sh', '-c', inside, tree, ...command], { encoding: 'utf8' })
    rmdirSync(tree)
    expect(run).toMatchObject({ status: 0, stderr: expect.not.stringContaining('ERROR') })
  })
})

suite('options of RUN steps', () => {
  test('--add-host, also as host=ip and with IPv6', () => {
    const hosts = written('RUN cat /etc/hosts > /out', ['--add-host', 'db:10.1.2.3', '--add-host=six=[2001:db8::1]'])
    expect(hosts).toMatch(/^10\.1\.2\.3\tdb$/m)
    expect(hosts).toMatch(/^2001:db8::1\tsix$/m)
  })

  test('--shm-size', () => {
    expect(written("RUN df -k /dev/shm | awk 'NR==2{print $2}' > /out", ['--shm-size', '128m'])).toBe('131072\n')
    // Resources are no part of the key.
    expect(written("RUN df -k /dev/shm | awk 'NR==2{print $2}' > /out", ['--no-cache'])).toBe('65536\n')
  })

  test('--ulimit', () => {
    expect(written('RUN (ulimit -Sn; ulimit -Hn; ulimit -c) > /out', ['--ulimit', 'nofile=100:200', '--ulimit', 'core=5120'])).toBe(
      '100\n200\n10\n',
    )
    const wrong = build('RUN true > /out', ['--ulimit', 'nope=1'])
    expect(wrong.status).not.toBe(0)
    expect(wrong.stderr).toContain('invalid ulimit type: nope')
  })

  test('--network none and host; RUN --network wins', () => {
    const links = 'RUN ls /sys/class/net | tr "\\n" " " > /out'
    expect(written(links, ['--network', 'none'])).toBe('lo ')
    const host = `${readdirSync('/sys/class/net')
      .filter((name) => name !== 'bonding_masters')
      .sort()
      .join(' ')} `
    expect(written(links, ['--network', 'host'])).toBe(host)
    expect(written(links.replace('RUN', 'RUN --network=none'))).toBe('lo ')
  })

  test('RUN --network=host and --security=insecure are refused unless they are allowed', () => {
    for (const [flag, name] of [
      ['--network=host', 'network.host'],
      ['--security=insecure', 'security.insecure'],
    ]) {
      const lines = `RUN echo earlier step\nRUN ${flag} echo 1 > /out`
      const refused = build(lines).stderr
      expect(refused).toContain(`entitlement ${name} is not allowed`)
      expect(refused).toContain(`>>> RUN ${flag}`)
      expect(refused).not.toContain('] RUN echo earlier step')
      expect(written(lines, ['--allow', `${name}`])).toBe('1\n')
      // What is cached is refused, too.
      expect(build(lines).stderr).toContain(`entitlement ${name} is not allowed`)
    }
    expect(written('RUN --network=host echo 2 > /out', ['--network', 'host'])).toBe('2\n')
  })
})

const cgroup2 = existsSync('/sys/fs/cgroup') && statfsSync('/sys/fs/cgroup').type === 0x63677270
const hierarchies = cgroup2 ? ['/sys/fs/cgroup'] : ['memory', 'cpu', 'pids'].map((name) => `/sys/fs/cgroup/${name}`)

suite('a part of the context that is mounted', () => {
  test('through a link to a name that is not UTF-8', () => {
    const shared = join(folder, 'shared')
    mkdirSync(shared)
    const name = Buffer.from('n\xff', 'latin1')
    const inShared = (path: Buffer) => Buffer.concat([Buffer.from(`${shared}/`), path])
    mkdirSync(inShared(name))
    writeFileSync(inShared(Buffer.concat([name, Buffer.from('/file')])), 'found\n')
    symlinkSync(name, join(shared, 'link'))
    const args = ['--build-context', `shared=${shared}`]
    expect(written('RUN --mount=type=bind,from=shared,source=link,target=/s cat /s/file > /out', args)).toBe('found\n')
  })
})

suite('--cgroup-parent', () => {
  const parent = `tbuild-options-${process.pid}`
  const directories = hierarchies.map((hierarchy) => join(hierarchy, parent))
  afterAll(() => {
    for (const directory of directories) if (existsSync(directory)) rmdirSync(directory)
  })

  test('a cgroup that does not exist is refused by name', () => {
    const refused = build('RUN true > /out', ['--cgroup-parent', `/${parent}`])
    expect(refused.status).not.toBe(0)
    expect(refused.stderr).toMatch(new RegExp(`the cgroup \\S*${parent} does not exist`))
  })

  test('its limits hold, running out of memory is told, and its child goes with the run', () => {
    for (const directory of directories) mkdirSync(directory)
    const limit = cgroup2 ? 'memory.max' : 'memory.limit_in_bytes'
    writeFileSync(join(directories[0] as string, limit), String(64 << 20))
    const args = ['--cgroup-parent', `/${parent}`]
    // What the limits are set on is the root of the run's cgroup namespace.
    const own = cgroup2 ? '0::' : ':memory:'
    expect(written(`RUN grep '${own}' /proc/self/cgroup | cut -d: -f3 > /out`, args)).toBe('/\n')
    const greedy = build('RUN dd if=/dev/zero of=/dev/null bs=256M count=1 && touch /out', args)
    expect(greedy.status).toBe(137)
    expect(greedy.stderr).toContain('exit code: 137 (it ran out of memory)')
    const children = directories.flatMap((directory) =>
      readdirSync(directory, { withFileTypes: true }).filter((entry) => entry.isDirectory()),
    )
    expect(children).toEqual([])
  })
})
