import { type ChildProcess, spawn } from 'node:child_process'
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, beforeEach, expect, test } from '@jest/globals'
import { root, script, tbuild } from '../support/cli.ts'
import { describeWith } from '../support/needs.ts'
import { alive, commandLine, descendants, kill, type Process, until } from '../support/processes.ts'
import { canRun } from './sandbox-fixture.ts'

/** A build that is killed or interrupted in the middle of its RUNs leaves nothing that the next build does not clean, and that one succeeds. */
const suite = describeWith(canRun, 'root and busybox-static')

let folder: string
let store: string
let scratch: string
let context: string
const base = ['--build-context', `busybox=oci-layout://${join(root, 'build/bases/busybox')}`]

/** Three steps at once: one writes, one has a user of its own and daemons, one holds a cache, a tmpfs and a throw-away copy. */
const DOCKERFILE = `# syntax=docker/dockerfile:1
FROM busybox AS writer
RUN until [ -e /stop ]; do echo x >> /big; done
FROM busybox AS user
USER 1000
RUN (setsid sleep 4242 &); trap '' TERM INT HUP; echo running; while :; do sleep 4242; done
FROM busybox AS mounts
RUN --mount=type=cache,target=/c --mount=type=tmpfs,target=/t/deep --mount=type=bind,from=writer,target=/w,rw \\
  echo begun >> /c/f; while :; do sleep 4242; done
FROM busybox
RUN (while :; do sleep 4242; done &) ; touch /made; echo running; sleep 4242; exit
COPY --from=user / /u
COPY --from=writer / /w
`

beforeAll(() => {
  if (!canRun) return
  script('base-images.mjs', ['busybox'])
  folder = mkdtempSync(join(tmpdir(), 'tbuild-kill-'))
  scratch = join(folder, 'tmp')
  context = join(folder, 'context')
  for (const directory of [scratch, context]) mkdirSync(directory)
  writeFileSync(join(context, 'Dockerfile'), DOCKERFILE)
  writeFileSync(join(context, 'after.Dockerfile'), 'FROM busybox\nRUN --mount=type=cache,target=/c echo after > /after\n')
})
beforeEach(() => {
  if (canRun) store = mkdtempSync(join(folder, 'store-'))
})
afterAll(() => {
  if (folder) rmSync(folder, { recursive: true, force: true })
})

const mounts = () => readFileSync('/proc/self/mountinfo', 'utf8')

interface Running {
  readonly child: ChildProcess
  readonly processes: readonly Process[]
  readonly ended: Promise<{ code: number | null; signal: string | null }>
  stderr(): string
}

/** Starts the build and waits until its RUNs are under way. */
async function startBuild(): Promise<Running> {
  const args = [join(root, 'bin/tbuild.js'), '--root', store, '--jobs', '4', '--progress', 'plain', '--no-cache', ...base, context]
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'ignore', 'pipe'], env: { ...process.env, TMPDIR: scratch } })
  let text = ''
  child.stderr?.on('data', (data: Buffer) => {
    text += data
  })
  const ended = new Promise<{ code: number | null; signal: string | null }>((resolve) => {
    child.on('exit', (code, signal) => resolve({ code, signal }))
  })
  await until(() => (text.match(/ running$/gm)?.length ?? 0) >= 2, 20_000)
  return { child, processes: descendants(child.pid as number), ended, stderr: () => text }
}

const leftovers = () =>
  ['tmp', 'leases', 'locks'].flatMap((name) => readdirSync(join(store, 'v1', name)).filter((file) => !/^gc$/.test(file)))

function buildNext(): void {
  const args = ['--root', store, '--progress', 'plain', '--no-cache', ...base, '-f', join(context, 'after.Dockerfile'), context]
  const { status, stderr } = tbuild(args, { env: { TMPDIR: scratch } })
  if (status !== 0) throw new Error(stderr)
}

suite('kill -9', () => {
  test('of the builder: every process ends at once, no mount is left, the next build cleans the store', async () => {
    const before = mounts()
    const running = await startBuild()
    expect(running.processes.length).toBeGreaterThanOrEqual(6)
    running.child.kill('SIGKILL')
    await running.ended
    await until(() => alive(running.processes).length === 0, 5_000)
    expect(alive(running.processes)).toEqual([])
    expect(mounts()).toBe(before)
    buildNext()
    expect(readdirSync(join(store, 'v1/tmp'))).toEqual([])
    expect(readdirSync(scratch)).toEqual([])
  }, 60_000)

  test('of the builder and all supervisors at once: the runs die with them', async () => {
    const running = await startBuild()
    const supervisors = running.processes.filter(({ pid }) => commandLine(pid).startsWith('tbuild-runner'))
    expect(supervisors.length).toBeGreaterThanOrEqual(3)
    for (const one of [{ pid: running.child.pid as number }, ...supervisors]) kill(one)
    await running.ended
    await until(() => alive(running.processes).length === 0, 5_000)
    expect(alive(running.processes)).toEqual([])
    buildNext()
    expect(readdirSync(join(store, 'v1/tmp'))).toEqual([])
  }, 60_000)

  test('of one run from outside fails its step as signal 9 does', async () => {
    const running = await startBuild()
    const commands = running.processes.filter(({ pid }) => commandLine(pid).includes('touch /made'))
    // The first is process 1; the other one is its subshell.
    process.kill(commands[0]?.pid as number, 'SIGKILL')
    expect(await running.ended).toEqual({ code: 137, signal: null })
    expect(running.stderr()).toContain('did not complete successfully: exit code: 137')
    expect(alive(running.processes)).toEqual([])
  }, 60_000)
})

suite('an interrupt', () => {
  test.each(['SIGINT', 'SIGTERM', 'SIGHUP'] as const)(
    '%s ends with status 130, leaving no process and no file',
    async (signal) => {
      const before = mounts()
      const running = await startBuild()
      running.child.kill(signal)
      expect(await running.ended).toEqual({ code: 130, signal: null })
      expect(alive(running.processes)).toEqual([])
      expect(mounts()).toBe(before)
      expect(leftovers()).toEqual([])
      expect(readdirSync(scratch)).toEqual([])
    },
    60_000,
  )
})
