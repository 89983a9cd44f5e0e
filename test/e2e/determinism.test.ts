import { spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync, utimesSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from '@jest/globals'
import { root, script } from '../support/cli.ts'
import { testWith } from '../support/needs.ts'

const EPOCH = 1_700_000_000

/** Each kind of content, of a size that is cut into many blocks. */
const noise = Buffer.concat(Array.from({ length: 60_000 }, (_, index) => createHash('sha256').update(`${index}`).digest()))
const text = Buffer.from(Array.from({ length: 200_000 }, (_, index) => `line ${index * 7919}\n`).join(''))

/** Names that locales, and file systems, put in other orders than bytes. */
const NAMES = ['a', 'A', 'a.b', 'a-b', 'a b', 'ä', 'z', 'é', 'e\u0301', 'İ', 'i', 'ı', '\u{10000}', '\uffff', '-', '~', '10', '9']

const DOCKERFILE = `FROM busybox
COPY tree /tree
COPY large /large
RUN mkdir /made && cd /made && for i in $(seq 900); do mkdir -p d$((i % 9)); echo $i > d$((i % 9))/f$i; done \\
 && ln d1/f1 d2/link && ln -s ../f d3/symlink && mkfifo pipe && rm -r /tree/directory/a && find /made /tree/directory -exec touch -h -d @${EPOCH} {} +
RUN seq 300000 > /numbers && head -c 5000000 /dev/zero > /zeros && cat /large/noise /large/text > /both && touch -d @${EPOCH} /numbers /zeros /both
COPY --from=busybox /bin /copied/
RUN chown -R 12:34 /tree && chmod -R go-w /made
`

let work: string
let layout: string
beforeAll(() => {
  layout = script('busybox-layout.mjs').stdout.trim()
  work = mkdtempSync(join(tmpdir(), 'tbuild-same-'))
}, 300_000)
afterAll(() => rmSync(work, { recursive: true, force: true }))

/** The same context, whose names came to be in another order. */
function context(folder: string, names: readonly string[]): string {
  const put = (path: string, content: string | Buffer) => {
    writeFileSync(join(folder, path), content)
    chmodSync(join(folder, path), 0o644)
    utimesSync(join(folder, path), EPOCH, EPOCH)
  }
  const directories = ['', 'tree', 'tree/directory', 'large']
  for (const path of directories) mkdirSync(join(folder, path), { recursive: true })
  for (const name of names) {
    put(`tree/${name}`, `file ${name}`)
    put(`tree/directory/${name}`, name.repeat(1000))
  }
  for (let index = 0; index < 3000; index += 1) put(`tree/directory/${(index * 1597) % 3000}`, `${index}`.repeat(index % 50))
  put('large/noise', noise)
  put('large/text', text)
  put('Dockerfile', DOCKERFILE)
  for (const path of directories) {
    chmodSync(join(folder, path), 0o755)
    utimesSync(join(folder, path), EPOCH, EPOCH)
  }
  return folder
}

interface Machine {
  /** Words before the command. */
  readonly prefix?: readonly string[]
  readonly env?: NodeJS.ProcessEnv
  /** Where context, store and outputs are. */
  readonly parent?: string
  readonly names?: readonly string[]
}

/** Digests of all forms of what is built from nothing. */
function outputs({ prefix = [], env = {}, parent = work, names = NAMES }: Machine = {}): Record<string, string> {
  const folder = mkdtempSync(join(parent, 'tbuild-same-'))
  try {
    const made = {
      gzip: 'type=oci',
      uncompressed: 'type=oci,compression=uncompressed',
      'level 6': 'type=oci,compression-level=6,force-compression=true',
      rewritten: 'type=oci,rewrite-timestamp=true',
      docker: 'type=docker',
      tar: 'type=tar',
    }
    const [program = '', ...args] = [
      ...[...prefix, process.execPath, join(root, 'bin/tbuild.js')],
      ...[
        '--root',
        join(folder, 'store'),
        '--build-context',
        `busybox=oci-layout://${layout}`,
        '--build-arg',
        `SOURCE_DATE_EPOCH=${EPOCH}`,
      ],
      ...Object.entries(made).flatMap(([name, spec]) => ['-o', `${spec},dest=${join(folder, name)}`]),
      context(join(folder, 'context'), names),
    ]
    const { status, stderr } = spawnSync(program, args, {
      encoding: 'utf8',
      env: { ...process.env, NODE_EXTRA_CA_CERTS: undefined, ...env },
    })
    if (status !== 0) throw new Error(stderr)
    const digest = (name: string) =>
      createHash('sha256')
        .update(readFileSync(join(folder, name)))
        .digest('hex')
    return Object.fromEntries(Object.keys(made).map((name) => [name, digest(name)]))
  } finally {
    rmSync(folder, { recursive: true })
  }
}

/** Of this machine as it is. */
let usual: Record<string, string> | undefined

function expectSame(machine: Machine): void {
  usual ??= outputs()
  expect(outputs(machine)).toEqual(usual)
}

const has = (command: string) => spawnSync('which', [command]).status === 0

testWith(has('taskset'), 'taskset (util-linux)')(
  'one processor makes the same bytes as all of them',
  () => expectSame({ prefix: ['taskset', '-c', '0'] }),
  300_000,
)

test('so do one thread and many', () => {
  expectSame({ env: { UV_THREADPOOL_SIZE: '1' } })
  expectSame({ env: { UV_THREADPOOL_SIZE: '16' } })
}, 300_000)

test('so does another locale, time zone and umask', () => {
  const env = { LANG: 'tr_TR.UTF-8', LC_ALL: 'tr_TR.UTF-8', TZ: 'Asia/Kathmandu' }
  expectSame({ env, prefix: ['sh', '-c', 'umask 077; exec "$@"', 'sh'] })
}, 300_000)

test('so do names that came to be in another order', () => expectSame({ names: [...NAMES].reverse() }), 300_000)

const onMemory = process.platform === 'linux' && spawnSync('findmnt', ['-n', '-t', 'tmpfs', '/dev/shm']).status === 0
testWith(onMemory, 'a tmpfs at /dev/shm')(
  'so does another file system, which lists names in another order',
  () => expectSame({ parent: '/dev/shm' }),
  300_000,
)
