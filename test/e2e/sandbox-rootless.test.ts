import { spawnSync } from 'node:child_process'
import { chownSync, copyFileSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from '@jest/globals'
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
    const fixture = new SandboxFixture()
    const result = await fixture.run(process.argv[1], JSON.parse(process.argv[2])).catch((error) => ({ error: error.message, hint: error.hint }))
    fixture.remove()
    console.log(JSON.stringify(result))`
  const node = [process.execPath, '--input-type=module', '-e', program, script, JSON.stringify(more)]
  const child = spawnSync(runner, ['userns', `0 ${ID} 1`, `0 ${ID} 1`, '0', ...node], {
    uid: ID,
    gid: ID,
    cwd: '/',
    env: { PATH: process.env.PATH, TMPDIR: home },
    encoding: 'utf8',
  })
  if (child.status !== 0) throw new Error(child.stderr)
  return JSON.parse(child.stdout)
}

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

  test('another user is an error that says what is missing', () => {
    expect(rootless('id', { user: 'bob' })).toMatchObject({
      error: expect.stringMatching(/uid 1000|gid 1000/),
      hint: expect.stringMatching(/subuid/),
    })
  })
})

suite('runner userns', () => {
  const userns = (script: string) =>
    spawnSync(runner, ['userns', `0 ${ID} 1`, `0 ${ID} 1`, '0', 'sh', '-c', script], { uid: ID, gid: ID, cwd: '/', encoding: 'utf8' })

  test('stdio and exit status are the command’s', () => {
    expect(userns('echo out; echo err >&2; exit 7')).toMatchObject({ status: 7, stdout: 'out\n', stderr: 'err\n' })
    expect(userns('kill -TERM $$').status).toBe(143)
  })

  test('a map that the kernel refuses is an error, nothing is run', () => {
    const child = spawnSync(runner, ['userns', '0 0 1', '0 0 1', '0', 'echo', 'ran'], { uid: ID, gid: ID, cwd: '/', encoding: 'utf8' })
    expect(child).toMatchObject({ status: 125, stdout: '' })
    expect(child.stderr).toContain('uid_map')
  })
})
