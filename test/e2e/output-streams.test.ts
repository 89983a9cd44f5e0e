import { spawn, spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals'
import { root, tbuild } from '../support/cli.ts'
import { testWith } from '../support/needs.ts'
import { running, until } from '../support/processes.ts'
import { openWorkspace, type Workspace } from '../support/workspace.ts'

const asRoot = testWith(process.getuid?.() === 0, 'root')

/** Standard output and error that end, fill up or stop: in every command. */
let work: Workspace
let context = ''
let export_ = ''

beforeAll(() => {
  work = openWorkspace()
  context = work.context({ Dockerfile: 'FROM busybox\nRUN --mount=type=cache,id=kept,target=/c echo told; echo 1 > /c/x\n' })
  work.build(['-t', 'app:1', context])
  export_ = work.path('export')
  expect(tbuild(['cache', 'export', export_, ...onStore()])).toMatchObject({ status: 0 })
})
afterAll(() => work.remove())

const bin = join(root, 'bin/tbuild.js')
const environment = () => ({ ...process.env, TBUILD_ROOT: work.store, CI: undefined })
const onStore = () => ['--root', work.store]
const base = () => work.base

/** Every command that prints, and on which stream. */
const COMMANDS: readonly (readonly [string, () => string[]])[] = [
  ['build -q', () => ['-q', ...base(), context]],
  ['build -o -', () => ['-q', '-o', '-', ...base(), context]],
  ['build -o type=oci,dest=-', () => ['-q', '-o', 'type=oci,dest=-', ...base(), context]],
  ['build -o type=docker,dest=-', () => ['-q', '-o', 'type=docker,dest=-', ...base(), context]],
  ['build --check', () => ['--check', ...base(), context]],
  ['build --check, format=json', () => ['--call=check,format=json', ...base(), context]],
  ['build --call=outline', () => ['--call=outline,format=json', ...base(), context]],
  ['build --call=targets', () => ['--call=targets', ...base(), context]],
  ['build --dry-run', () => ['--dry-run', ...base(), context]],
  ['explain', () => ['explain', ...base(), context]],
  ['images', () => ['images', ...onStore()]],
  ['inspect', () => ['inspect', 'app:1', ...onStore()]],
  ['history', () => ['history', 'app:1', ...onStore()]],
  ['verify-store', () => ['verify-store', '--check-only', ...onStore()]],
  ['du', () => ['du', ...onStore()]],
  ['prune', () => ['prune', '--dry-run', ...onStore()]],
  ['cache ls', () => ['cache', 'ls', ...onStore()]],
  ['cache import', () => ['cache', 'import', export_, ...onStore()]],
  ['cache du', () => ['cache', 'du', ...onStore()]],
  ['cache export', () => ['cache', 'export', mkdtempSync(join(work.folder, 'carried-')), ...onStore()]],
  ['cache rm', () => ['cache', 'rm', '--all', ...onStore()]],
  ['--help', () => ['--help']],
  ['help build', () => ['help', 'build']],
  ['--version', () => ['--version']],
]

/** To a reader that has gone before anything is written. */
async function unread(args: readonly string[], stream: 'stdout' | 'stderr') {
  const child = spawn(process.execPath, [bin, ...args], { env: environment(), stdio: ['ignore', 'pipe', 'pipe'] })
  child[stream].destroy()
  const other = text(child[stream === 'stdout' ? 'stderr' : 'stdout'])
  const status = await new Promise<number | null>((resolve) => child.on('close', resolve))
  return { status, other: await other }
}

function toFullDisk(args: readonly string[]) {
  const command = ['-c', 'exec "$@" > /dev/full', 'sh', process.execPath, bin, ...args]
  return spawnSync('sh', command, { encoding: 'utf8', env: environment(), timeout: 60_000 })
}

describe('standard output', () => {
  test.each(COMMANDS)('%s: a reader that is gone ends it silently', async (_name, args) => {
    expect(await unread(args(), 'stdout')).toEqual({ status: 141, other: '' })
  })

  test.each(COMMANDS)('%s: a full disk is told', (_name, args) => {
    const { status, stderr } = toFullDisk(args())
    expect({ status, stderr }).toEqual({
      status: 1,
      stderr:
        'ERROR: cannot write to standard output: no space left on device\n\n' +
        'hint: free space on the disk that standard output goes to, or send it elsewhere\ncode: OUTPUT_WRITE\n',
    })
  })

  test('the table has every command', () => {
    const help = spawnSync(process.execPath, [bin, '--help'], { encoding: 'utf8' }).stdout
    const cache = spawnSync(process.execPath, [bin, 'help', 'cache'], { encoding: 'utf8' }).stdout
    const names = (text: string) => [...(text.split('Commands:\n')[1] ?? '').matchAll(/^ {2}([a-z-]+)/gm)].map(([, name]) => name)
    const covered = COMMANDS.map(([name]) => name.split(' '))
    expect(names(help).filter((name) => name !== 'cache' && !covered.some(([first]) => first === name))).toEqual([])
    expect(names(cache).filter((name) => name !== 'help' && !covered.some(([, second]) => second === name))).toEqual([])
  })

  test('a reader that closes in the middle of an archive', () => {
    const script = 'set -o pipefail; "$@" | head -c 10 > /dev/null; echo $?'
    const command = ['-c', script, 'bash', process.execPath, bin, '-q', '-o', '-', ...base(), context]
    const { stdout, stderr } = spawnSync('bash', command, { encoding: 'utf8', env: environment() })
    expect({ stdout, stderr }).toEqual({ stdout: '141\n', stderr: '' })
  })
})

describe('standard error', () => {
  test.each(['plain', 'rawjson', 'tty'])('%s: the build ends when nobody reads its log', async (progress) => {
    const mark = `${process.pid}${progress.length}`
    const folder = work.context({ Dockerfile: `FROM busybox\nRUN while :; do echo ${mark}; sleep 0.1; done\n` })
    expect(await unread(['--progress', progress, ...base(), folder], 'stderr')).toEqual({ status: 141, other: '' })
  })

  test.each([
    ['an error', () => ['inspect', 'missing', ...onStore()]],
    ['a step from the cache', () => ['--progress', 'plain', ...base(), context]],
  ])('%s that cannot be told ends in no stack', async (_name, args) => {
    expect((await unread(args(), 'stderr')).status).toBe(141)
  })
})

asRoot('an archive on a disk that fills up is an error, however little is missing', () => {
  const folder = work.path('small')
  mkdirSync(folder)
  const script = 'mount -t tmpfs -o size=256k tmpfs "$1" && cd "$1" && shift && "$@" > archive'
  const command = ['-m', 'sh', '-c', script, 'sh', folder, process.execPath, bin, '-q', '-o', '-', ...base(), context]
  const { status, stderr } = spawnSync('unshare', command, { encoding: 'utf8', env: environment() })
  expect({ status, stderr: stderr.split('\n')[0] }).toEqual({
    status: 1,
    stderr: 'ERROR: cannot write to standard output: no space left on device',
  })
  expect(existsSync(folder)).toBe(true)
})

describe('a reader that stops', () => {
  /** Two steps that print side by side, each more than the process may hold. */
  const printing = () => {
    const run = (mark: string) => `FROM busybox AS s${mark}\nRUN yes ${mark}${'.'.repeat(60)} | head -c 300000000; echo 1 > /x\n`
    return work.context({ Dockerfile: `${run('1')}${run('2')}FROM scratch\nCOPY --from=s1 /x /1\nCOPY --from=s2 /x /2\n` })
  }
  const residentMegabytes = (pid: number) => Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]) / 1024
  const both = () => ['1', '2'].map((mark) => running(`/bin/sh -c yes ${mark}.`))
  const moment = (milliseconds: number) => new Promise((resolve) => setTimeout(resolve, milliseconds))

  test.each(['plain', 'rawjson', 'tty'])('%s: the steps wait, and memory does not grow; Ctrl-C ends them at once', async (progress) => {
    const args = ['--progress', progress, '--no-cache', ...base(), printing()]
    const child = spawn(process.execPath, [bin, ...args], { env: environment(), stdio: ['ignore', 'ignore', 'pipe'] })
    const pid = child.pid as number
    child.stderr.pause()
    await until(() => both().every((steps) => steps.length > 0), 30_000)
    await moment(1_000)
    const early = residentMegabytes(pid)
    await moment(2_000)
    // A terminal's picture takes no more room however much is printed.
    if (progress !== 'tty') expect(both()).not.toContainEqual([])
    expect(residentMegabytes(pid)).toBeLessThan(Math.max(early, 100) * 1.5)
    child.kill('SIGINT')
    const status = await new Promise((resolve) => child.on('exit', resolve))
    expect(status).toBe(130)
    expect(both()).toEqual([[], []])
    child.stderr.resume()
  })

  test('an archive waits, and Ctrl-C ends it', async () => {
    const folder = work.context({ Dockerfile: 'FROM busybox\nRUN head -c 20000000 /dev/zero > /x\n' })
    const child = spawn(process.execPath, [bin, '-q', '-o', '-', ...base(), folder], {
      env: environment(),
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    const told = text(child.stderr)
    child.stdout.once('readable', () => child.kill('SIGINT'))
    const status = await new Promise((resolve) => child.on('exit', resolve))
    expect(status).toBe(130)
    child.stdout.resume()
    expect(await told).toContain('code: CANCELED')
  })
})

describe('a disk that is full, of a place that an option names', () => {
  const full = (path: string) =>
    `ERROR: cannot write ${path}: no space left on device\n\n` +
    `hint: free space on the file system of ${path} (it is not the store that is full), or name another place\ncode: OUTPUT_WRITE\n`

  test.each([
    ['-o', 'type=tar,dest=/dev/full'],
    ['-o', 'type=oci,dest=/dev/full'],
    ['-o', 'type=docker,dest=/dev/full'],
    ['--iidfile', '/dev/full'],
    ['--metadata-file', '/dev/full'],
  ])('%s %s', (...option) => {
    expect(tbuild(['-q', ...option, ...base(), context])).toMatchObject({ status: 1, stderr: full('/dev/full') })
    expect(statSync('/dev/full').isCharacterDevice()).toBe(true)
  })

  asRoot('a directory, a layout, a cache, and a file beside which there is no room', () => {
    const folder = mkdtempSync(join(work.folder, 'small-'))
    const options = [`-o ${folder}/files`, `-o type=oci,tar=false,dest=${folder}/layout`, `-o type=oci,dest=${folder}/archive`]
    const script = `mount -t tmpfs -o size=64k tmpfs ${folder} || exit 9; while read -r option; do "$@" $option 2>&1 | grep ^ERROR; rm -rf ${folder}/*; done`
    const command = ['-m', 'sh', '-c', script, 'sh', process.execPath, bin, '-q', ...base(), context]
    const input = [...options, `--cache-to type=local,dest=${folder}/cache,mode=max`].join('\n')
    const { stdout } = spawnSync('unshare', command, { encoding: 'utf8', env: environment(), input: `${input}\n` })
    const line = (name: string) => `ERROR: cannot write ${folder}/${name}: no space left on device\n`
    expect(stdout).toBe(['files', 'layout', 'archive', 'cache'].map(line).join(''))
  })
})
