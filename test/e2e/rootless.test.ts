import { type ChildProcess, execFileSync, spawn, spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from '@jest/globals'
import { type Finished, root, script } from '../support/cli.ts'
import { describeWith } from '../support/needs.ts'
import { alive, descendants, until } from '../support/processes.ts'

/** Real users of this machine, one with subordinate ids and one without, build with the command line. Making users needs root. */
const canRun = process.getuid?.() === 0 && existsSync('/usr/bin/apt-get')
const suite = describeWith(canRun, 'root on Debian')

class User {
  readonly home: string
  readonly uid: number
  readonly gid: number
  readonly name: string

  constructor(name: string, ranges: boolean, folder: string) {
    this.name = name
    this.home = join(folder, name)
    const subordinate = ranges ? [] : ['-K', 'SUB_UID_COUNT=0', '-K', 'SUB_GID_COUNT=0']
    execFileSync('useradd', ['--create-home', '--home-dir', this.home, '--shell', '/bin/sh', ...subordinate, name])
    if (ranges && !readFileSync('/etc/subuid', 'utf8').includes(`${name}:`)) {
      execFileSync('usermod', ['--add-subuids', '2000000-2065535', '--add-subgids', '2000000-2065535', name])
    }
    const { uid, gid } = statSync(this.home)
    this.uid = uid
    this.gid = gid
  }

  /** `tbuild ARGS` as this user, with nothing of our environment but PATH. */
  tbuild(args: readonly string[]): Finished {
    const { status, stdout, stderr } = spawnSync(process.execPath, [join(program, 'bin/tbuild.js'), ...args], {
      uid: this.uid,
      gid: this.gid,
      cwd: this.home,
      env: { HOME: this.home, PATH: process.env.PATH },
      encoding: 'utf8',
      timeout: 300_000,
    })
    return { status, stdout, stderr }
  }

  /** Starts `tbuild ARGS`, and tells what it prints. */
  start(args: readonly string[]): { readonly child: ChildProcess; stderr(): string } {
    const child = spawn(process.execPath, [join(program, 'bin/tbuild.js'), ...args], {
      uid: this.uid,
      gid: this.gid,
      cwd: this.home,
      env: { HOME: this.home, PATH: process.env.PATH },
      stdio: ['ignore', 'ignore', 'pipe'],
    })
    let text = ''
    child.stderr?.on('data', (data: Buffer) => {
      text += data
    })
    return { child, stderr: () => text }
  }

  remove(): void {
    spawnSync('userdel', ['--remove', this.name])
  }
}

async function needPackages(names: readonly string[], present: () => boolean): Promise<void> {
  const packages = (await import(join(root, 'scripts/packages.mjs'))) as {
    needPackages(names: readonly string[], present: () => boolean): void
  }
  packages.needPackages(names, present)
}

let folder: string
/** What these users run: a checkout in somebody's home may be closed to them. */
let program: string
let ranges: User
let single: User
const bases: Record<string, string> = {}

beforeAll(async () => {
  if (!canRun) return
  await needPackages(['uidmap'], () => existsSync('/usr/bin/newuidmap'))
  folder = mkdtempSync(join(tmpdir(), 'tbuild-users-'))
  execFileSync('chmod', ['755', folder])
  ranges = new User(`tbuild-r${process.pid}`, true, folder)
  single = new User(`tbuild-s${process.pid}`, false, folder)
  script('base-images.mjs', ['busybox', 'node'])
  program = join(folder, 'program')
  const files = ['package.json', 'bin', 'dist', 'samples', 'build/runner', 'build/sys.node', 'build/bases/busybox', 'build/bases/node']
  mkdirSync(program)
  execFileSync('cp', ['--recursive', '--parents', '--reflink=auto', ...files, program], { cwd: root })
  execFileSync('chmod', ['--recursive', 'go+rX', program])
  for (const name of ['busybox', 'node']) bases[name] = join(program, 'build/bases', name)
}, 300_000)
afterAll(() => {
  ranges?.remove()
  single?.remove()
  if (folder) rmSync(folder, { recursive: true, force: true })
})

function context(name: string, dockerfile: string, fill: (folder: string) => void = () => {}): string {
  const directory = join(folder, name)
  mkdirSync(directory)
  writeFileSync(join(directory, 'Dockerfile'), dockerfile)
  writeFileSync(join(directory, 'file'), 'text')
  fill(directory)
  return directory
}

/** `mode owner name` lines of GNU tar for every layer but the base's, extended attributes as `* size name` lines below their file. */
function layerListing(archive: string): string[] {
  const member = (path: string) => execFileSync('tar', ['-xOf', archive, path], { maxBuffer: 1 << 28 })
  const blob = (digest: string) => member(`blobs/sha256/${digest.slice('sha256:'.length)}`)
  const json = (data: Buffer) => JSON.parse(data.toString())
  const manifest = json(blob(json(member('index.json')).manifests[0].digest)) as { layers: { digest: string }[] }
  return manifest.layers.slice(1).flatMap(({ digest }) => {
    const args = ['--numeric-owner', '--xattrs', '--xattrs-include=*', '-tvvzf', '-']
    const text = execFileSync('tar', args, { input: blob(digest), encoding: 'utf8' })
    return text.split('\n').map((line) => line.replace(/^(\S+) +(\S+) +.*\d\d:\d\d(?::\d\d)? /, '$1 $2 '))
  })
}

const base = (name: string) => ['--build-context', `${name === 'node' ? 'node:20' : name}=oci-layout://${bases[name]}`]

suite('a user with subordinate ids', () => {
  const DOCKERFILE = `FROM busybox
RUN mkdir /d && touch /d/a /d/b && chown 33:44 /d/a && chown -R 65535:2000 /d/b && chmod 4755 /d/a && mkfifo /d/fifo
RUN mkdir -m 700 /closed; touch /closed/f; chmod 000 /closed/f; chown 65534 /closed; mkdir /gone; touch /gone/x
COPY --chown=12:13 file /copied
ADD archive.tar /unpacked
USER 1234:5678
RUN id -u > /tmp/user; stat -c %u:%g:%a /d/a /closed /unpacked/own > /tmp/seen
USER 0
RUN rm -r /gone; rm -r /d; mkdir /d; touch /d/new; cat /closed/f
`
  const fill = (directory: string) => {
    const source = join(folder, 'source')
    mkdirSync(source)
    const commands = 'cp /bin/true cap; setcap cap_net_raw+ep cap; mknod null c 1 3; touch own; chown 1234:4321 own; chmod 2755 own'
    execFileSync('sh', ['-ec', commands], { cwd: source, env: { PATH: `${process.env.PATH}:/usr/sbin:/sbin` } })
    execFileSync('tar', ['--xattrs', '--xattrs-include=*', '-cf', join(directory, 'archive.tar'), '-C', source, 'cap', 'null', 'own'])
  }
  let built: Finished
  let listing: string[]
  beforeAll(async () => {
    if (!canRun) return
    await needPackages(['libcap2-bin'], () => existsSync('/usr/sbin/setcap'))
    const archive = join(ranges.home, 'image.tar')
    const output = ['-t', 'app', '-o', `type=oci,dest=${archive}`]
    built = ranges.tbuild(['--progress', 'plain', ...base('busybox'), ...output, context('ranges', DOCKERFILE, fill)])
    if (built.status !== 0) throw new Error(built.stderr)
    listing = layerListing(archive)
  }, 120_000)

  test('owners, setuid bits, pipes and unreadable files are in the layers as GNU tar reads them', () => {
    expect(listing).toEqual(
      expect.arrayContaining([
        '-rwsr-xr-x 33/44 d/a',
        '-rw-r--r-- 65535/2000 d/b',
        'prw-r--r-- 0/0 d/fifo',
        'drwx------ 65534/0 closed/',
        '---------- 0/0 closed/f',
        '-rw-r--r-- 12/13 copied',
      ]),
    )
  })

  test('ADD keeps owners and file capabilities of an archive; a device, which no user may make, is left out with a line in the log', () => {
    const at = listing.findIndex((line) => line.endsWith(' unpacked/cap'))
    expect(listing[at]).toMatch(/^-rwxr-xr-x\*? 0\/0/)
    // 20 bytes: the form without the id of a namespace's root.
    expect(listing[at + 1]).toMatch(/x: 20 security\.capability/)
    expect(listing).toContain('-rwxr-sr-x 1234/4321 unpacked/own')
    expect(listing.join('\n')).not.toContain('unpacked/null')
    expect(built.stderr).toMatch(/the device \/\S*null is left out/)
  })

  test('removed files are whiteouts, also below a directory that was made anew', () => {
    const names = listing.map((line) => line.split(' ').at(-1))
    expect(names).toContain('.wh.gone')
    expect(names).toContain('d/.wh.a')
    expect(names).toContain('d/new')
  })

  test('USER runs as that id and sees the owners', () => {
    const seen = ranges.tbuild([
      '--progress',
      'plain',
      ...base('busybox'),
      '-o',
      'out',
      context('see', 'FROM app\nRUN cp /tmp/user /tmp/seen /d\n'),
    ])
    expect(seen).toMatchObject({ status: 0 })
    const text = (name: string) => readFileSync(join(ranges.home, 'out/d', name), 'utf8')
    expect([text('user'), text('seen')]).toEqual(['1234\n', '33:44:4755\n65534:0:700\n1234:4321:2755\n'])
  })

  test('the store is the user’s own and closed to others; there is no notice', () => {
    const store = statSync(join(ranges.home, '.local/share/tbuild'))
    expect([store.uid, store.mode & 0o777]).toEqual([ranges.uid, 0o700])
    expect(built.stderr).not.toMatch(/single user id/)
  })

  test('samples/node-app builds, and files owned by other ids keep them', () => {
    const archive = join(ranges.home, 'node.tar')
    const build = ranges.tbuild([
      '--progress',
      'plain',
      ...base('node'),
      '-o',
      `type=oci,dest=${archive}`,
      join(program, 'samples/node-app'),
    ])
    if (build.status !== 0) throw new Error(build.stderr)
    const lines = layerListing(archive)
    expect(lines).toContain('-rw-r--r-- 33/33 app/src/server.js')
    expect(lines).toContain('lrwxrwxrwx 33/33 app/node_modules/greeter -> ../greeter')
  }, 120_000)
})

suite('signals to a build in a user namespace', () => {
  test.each([
    ['SIGKILL', null],
    ['SIGTERM', 130],
    ['SIGINT', 130],
  ] as const)(
    '%s ends every process; the next build succeeds',
    async (signal, status) => {
      const args = ['--progress', 'plain', '--no-cache', ...base('busybox')]
      const steps = context(signal, 'FROM busybox\nRUN (setsid sleep 4343 &); echo running; sleep 4343; exit\n')
      const { child, stderr } = ranges.start([...args, steps])
      const ended = new Promise((resolve) => child.on('exit', resolve))
      await until(() => / running$/m.test(stderr()), 20_000)
      const processes = descendants(child.pid as number)
      expect(processes.length).toBeGreaterThanOrEqual(5)
      child.kill(signal)
      expect(await ended).toBe(status)
      await until(() => alive(processes).length === 0, signal === 'SIGKILL' ? 5_000 : 0)
      expect(alive(processes)).toEqual([])
      expect(ranges.tbuild([...args, context(`${signal}-next`, 'FROM busybox\nRUN true\n')])).toMatchObject({ status: 0 })
      expect(readdirSync(join(ranges.home, '.local/share/tbuild/v1/tmp'))).toEqual([])
    },
    60_000,
  )
})

suite('newuidmap that may not work', () => {
  test('no_new_privs takes its rights away: one id, the cause is said once, and nothing of the runner’s protocol', () => {
    const directory = context('no-new-privs', 'FROM busybox\nRUN id -u\n')
    const command = [
      '--no-new-privs',
      process.execPath,
      join(program, 'bin/tbuild.js'),
      '--progress',
      'plain',
      ...base('busybox'),
      directory,
    ]
    const env = { HOME: ranges.home, PATH: process.env.PATH }
    const { status, stderr } = spawnSync('setpriv', command, { uid: ranges.uid, gid: ranges.gid, cwd: ranges.home, env, encoding: 'utf8' })
    expect({ status, stderr }).toMatchObject({ status: 0 })
    expect(stderr.match(/^building with a single user id: newuidmap failed \(newuidmap: .*\)\./gm)).toHaveLength(1)
    expect(stderr).not.toMatch(/^(error \d|newuidmap:)/m)
  })
})

suite('a user without subordinate ids', () => {
  const build = (name: string, lines: string) =>
    single.tbuild(['--progress', 'plain', ...base('busybox'), '-o', 'type=oci,dest=image.tar', context(name, `FROM busybox\n${lines}\n`)])

  test('builds what needs one id, and is told once what will not work', () => {
    const built = build('simple', 'RUN id -u && mkdir /made && touch /made/file\nCOPY file /copied\nRUN rm -r /made && rm /copied')
    expect(built).toMatchObject({ status: 0 })
    expect(built.stderr.match(/single user id/g)).toHaveLength(1)
    expect(built.stderr).toContain(`/etc/subuid and /etc/subgid have no range for ${single.name}`)
    expect(layerListing(join(single.home, 'image.tar'))).toContain('-rw-r--r-- 0/0 made/file')
  })

  test.each([
    ['USER', 'USER 33\nRUN id', /set gid|set uid|give the output to uid 33/],
    ['COPY --chown', 'COPY --chown=33 file /x', /cannot give .* to 33:33/],
  ])('%s of another id fails and says why', (name, lines, message) => {
    const built = build(name.replace(/\W/g, ''), lines)
    expect(built.status).toBe(1)
    expect(built.stderr).toMatch(message)
    expect(built.stderr).toMatch(/hint: .*\/etc\/subuid/)
  })
})

suite('a user id that the machine does not know', () => {
  test('builds, without a home and a name', () => {
    const own = join(folder, 'nobody')
    mkdirSync(own)
    execFileSync('chown', ['47110:47110', own])
    const directory = context('unknown', 'FROM busybox\nRUN id -u > /out\nFROM scratch\nCOPY --from=0 /out /\n')
    const args = ['--root', join(own, 'store'), '--progress', 'plain', ...base('busybox'), '-o', join(own, 'out'), directory]
    const options = { uid: 47110, gid: 47110, cwd: own, env: { PATH: process.env.PATH }, encoding: 'utf8' } as const
    const { status, stderr } = spawnSync(process.execPath, [join(program, 'bin/tbuild.js'), ...args], options)
    expect({ status, stderr }).toMatchObject({ status: 0, stderr: expect.stringContaining('no range for 47110') })
    expect(readFileSync(join(own, 'out/out'), 'utf8')).toBe('0\n')
  })
})
