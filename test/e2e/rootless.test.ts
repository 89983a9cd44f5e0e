import { type ChildProcess, execFileSync, spawn, spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from '@jest/globals'
import { tbuild as asRoot, type Finished, root, script } from '../support/cli.ts'
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
  tbuild(args: readonly string[], path = process.env.PATH): Finished {
    const { status, stdout, stderr } = spawnSync(process.execPath, [join(program, 'bin/tbuild.js'), ...args], {
      uid: this.uid,
      gid: this.gid,
      cwd: this.home,
      env: { HOME: this.home, PATH: path },
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

/** `mode owner name` lines of GNU tar for every layer from `first` on, extended attributes as `* size name` lines below their file. */
function layerListing(archive: string, first = 1): string[] {
  const member = (path: string) => execFileSync('tar', ['-xOf', archive, path], { maxBuffer: 1 << 28 })
  const blob = (digest: string) => member(`blobs/sha256/${digest.slice('sha256:'.length)}`)
  const json = (data: Buffer) => JSON.parse(data.toString())
  const manifest = json(blob(json(member('index.json')).manifests[0].digest)) as { layers: { digest: string }[] }
  return manifest.layers.slice(first).flatMap(({ digest }) => {
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

/** What others' images have: files of many owners, of all types. Made by root; a base is a layout. */
const BASE = `FROM busybox
RUN printf 'root:x:0:0:root:/root:/bin/sh\\napp:x:1000:1001::/home/app:/bin/sh\\n' > /etc/passwd; printf 'app:x:1001:\\n' > /etc/group
RUN touch /etc/shadow /suid; chmod 640 /etc/shadow; chown 0:42 /etc/shadow; chown 70000:70001 /suid; chmod 4755 /suid
RUN mkdir -p /home/app /l/old; echo x > /home/app/f; ln -s f /home/app/link; mkfifo /home/app/fifo; ln /home/app/f /l/hard; chown -Rh 1000:1001 /home/app
`

const STEPS = `FROM base AS made
COPY --chown=app tree /copied
COPY --chown=70000:70001 tree/file /beyond
ADD archive.tar /unpacked
WORKDIR /home/app/work/deep
RUN chmod 600 /home/app/f; echo y >> /etc/shadow; touch -h /home/app/link; mv /copied/sub/file /moved; rm /copied/file; chmod 700 /copied; chmod 4711 /suid
USER app
WORKDIR /home/app/new/dir
RUN --mount=type=cache,target=/cache,uid=1000,gid=1001 touch made /cache/f; mkdir d; ln -s made link; id -u > id; id -g >> id; echo $HOME >> id
USER 70000:70001
RUN touch /tmp/other
FROM base
COPY --from=made /home /home2
COPY --from=made --chown=5:6 /copied /copied2
COPY --link --chown=7:8 tree /linked
RUN --mount=type=bind,from=made,target=/b cat /b/home/app/new/dir/id > /id
`

suite('a user without subordinate ids', () => {
  const fill = (directory: string) => {
    const script = `mkdir -p tree/sub source; echo 1 > tree/file; echo 2 > tree/sub/file; ln -s file tree/link; chmod 4755 tree/sub/file
      cd source; touch own; chown 1234:4321 own; chmod 2755 own; ln -s own link; chown -h 77:78 link; ln own hard; mkfifo pipe; chown 9:9 pipe
      tar --numeric-owner -cf ../archive.tar own link hard pipe; cd ..; rm -r source`
    execFileSync('sh', ['-ec', script], { cwd: directory })
  }
  const layout = (folder: string) => ['--build-context', `base=oci-layout://${folder}`]
  let foreign: string
  let directory: string
  let expected: string[]
  beforeAll(() => {
    if (!canRun) return
    foreign = join(folder, 'foreign')
    const store = ['--root', join(folder, 'root-store'), '--progress', 'plain']
    const made = asRoot([...store, ...base('busybox'), '-o', `type=oci,tar=false,dest=${foreign}`, context('foreign-base', BASE)])
    if (made.status !== 0) throw new Error(made.stderr)
    execFileSync('chmod', ['-R', 'go+rX', foreign])
    directory = context('foreign-steps', STEPS, fill)
    const built = asRoot([...store, ...layout(foreign), '-o', `type=oci,dest=${join(folder, 'root.tar')}`, directory])
    if (built.status !== 0) throw new Error(built.stderr)
    expected = layerListing(join(folder, 'root.tar'), 0)
  }, 120_000)

  const build = (user: User, name: string, args: readonly string[], path?: string) =>
    user.tbuild(['--progress', 'plain', ...layout(foreign), '-o', `type=oci,dest=${name}`, ...args], path)

  test('images have the owners that root’s have: of the base, of --chown, archives, WORKDIR, USER and of what a RUN changed', () => {
    const built = build(single, 'image.tar', [directory])
    expect(built).toMatchObject({ status: 0 })
    expect(layerListing(join(single.home, 'image.tar'), 0)).toEqual(expected)
    expect(expected).toEqual(expect.arrayContaining(['-rwsr-xr-x 70000/70001 suid', 'lrwxrwxrwx 1000/1001 home2/app/new/dir/link -> made']))
    expect(built.stderr.match(/single user id/g)).toHaveLength(1)
    expect(built.stderr).toContain(`/etc/subuid and /etc/subgid have no range for ${single.name}`)
  })

  test('the stages between have them, too, and what reads them has the same key', () => {
    const built = build(single, 'made.tar', ['--target', 'made', directory])
    expect(built.stderr.match(/CACHED/g)?.length).toBeGreaterThanOrEqual(9)
    const root = asRoot([
      ...['--root', join(folder, 'root-store'), ...layout(foreign), '--target', 'made'],
      ...['-o', `type=oci,dest=${join(folder, 'made.tar')}`, directory],
    ])
    expect(root).toMatchObject({ status: 0 })
    const listing = layerListing(join(single.home, 'made.tar'), 0)
    expect(listing).toEqual(layerListing(join(folder, 'made.tar'), 0))
    expect(listing).toEqual(
      expect.arrayContaining(['-rw-r--r-- 70000/70001 tmp/other', '-rws--x--x 70000/70001 suid', '-rw-r----- 0/42 etc/shadow']),
    )
  })

  test('what a RUN gives to others belongs to them in the image; who becomes another user is that one', () => {
    const lines = `RUN chown -R 33:44 /home/app; chown -h 5:44 /home/app/link; chown 33:9 /home/app/fifo; chown 0:0 /home/app/f; chmod 4755 /etc/group; chown 8:0 /etc/group
RUN mkdir -p /new/d; echo > /new/f; ln -s f /new/l; mkfifo /new/p; chown -hR 70000:70001 /new; mv /new/d /new/e; cp -p /new/f /plain; chown 1 /dev/stdout
RUN su app -c 'id -u; id -g; chown 0 /new 2>/dev/null || echo refused' > /ids; id -u >> /ids; test "$(cat /ids | xargs)" = "1000 1001 refused 0"
`
    const directory = context('chown', `FROM base\n${lines}`)
    expect(build(single, 'chown.tar', [directory])).toMatchObject({ status: 0 })
    const archive = join(folder, 'chown.tar')
    const store = ['--root', join(folder, 'root-store'), ...layout(foreign)]
    expect(asRoot([...store, '-o', `type=oci,dest=${archive}`, directory])).toMatchObject({ status: 0 })
    // What a program copies from what it sees is root's: cp -p asked for the owner of a file.
    const wanted = layerListing(archive, 0).map((line) => line.replace('70000/70001 plain', '0/0 plain'))
    expect(layerListing(join(single.home, 'chown.tar'), 0)).toEqual(wanted)
    expect(wanted).toEqual(
      expect.arrayContaining(['lrwxrwxrwx 70000/70001 new/l -> f', '-rwxr-xr-x 8/0 etc/group', 'prw-r--r-- 33/9 home/app/fifo']),
    )
  })

  test('-o dir gives everything to the user', () => {
    const built = single.tbuild(['--progress', 'plain', ...layout(foreign), '-o', 'out', directory])
    expect(built).toMatchObject({ status: 0 })
    expect(statSync(join(single.home, 'out/copied2'))).toMatchObject({ uid: single.uid, gid: single.gid })
    expect(readFileSync(join(single.home, 'out/id'), 'utf8')).toBe('1000\n1001\n/home/app\n')
  })

  test('the store is found in order, and can be emptied', () => {
    expect(single.tbuild(['verify-store', '--check-only'])).toMatchObject({ status: 0 })
    expect(single.tbuild(['prune', '--all'])).toMatchObject({ status: 0 })
  })

  test('a store follows its user when ranges come and go', () => {
    const withoutHelpers = '/nonexistent'
    for (const [name, path] of [
      ['with.tar', undefined],
      ['without.tar', withoutHelpers],
      ['again.tar', undefined],
    ] as const) {
      const built = build(ranges, name, [directory], path)
      expect({ name, ...built }).toMatchObject({ name, status: 0 })
      expect(built.stderr.includes('single user id')).toBe(path !== undefined)
      expect(layerListing(join(ranges.home, name), 0)).toEqual(expected)
    }
  }, 60_000)
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
