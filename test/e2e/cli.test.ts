import { execFileSync, spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { copyFileSync, cpSync, existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals'
import { root, script, startTbuild, tbuild } from '../support/cli.ts'
import { running } from '../support/processes.ts'

let work = ''
let base: string[] = []

beforeAll(async () => {
  work = await mkdtemp(join(tmpdir(), 'tbuild-cli-'))
  const layout = script('busybox-layout.mjs')
  if (layout.status !== 0) throw new Error(layout.stderr)
  base = ['--root', join(work, 'store'), '--build-context', `busybox=oci-layout://${layout.stdout.trim()}`]
}, 300_000)
afterAll(() => rm(work, { recursive: true, force: true }), 120_000)

async function context(dockerfile: string): Promise<string> {
  const folder = await mkdtemp(join(work, 'context-'))
  await writeFile(join(folder, 'Dockerfile'), dockerfile)
  return folder
}

test('the code of V8 that is loaded with the command is that of this very bundle', () => {
  const bundle = readFileSync(join(root, 'dist/cli.cjs'), 'latin1')
  const [mark = ''] = bundle.split('\n', 1)
  const digest = createHash('sha256')
    .update(bundle.slice(mark.length + 1))
    .digest('hex')
  expect(mark).toBe(`// ${digest}`)
  expect(readFileSync(join(root, 'dist/cli.cache')).toString('latin1', 0, mark.length)).toBe(mark)
})

test('V8 takes that code, and without a copy: it begins at a whole word', () => {
  const program = `const { Script } = require('node:vm'); const { readFileSync } = require('node:fs')
    const cachedData = readFileSync('dist/cli.cache').subarray(72)
    const script = new Script(readFileSync('dist/cli.cjs', 'latin1'), { filename: '/a', cachedData })
    console.log(script.cachedDataRejected, 72 % 8)`
  expect(execFileSync(process.execPath, ['-e', program], { cwd: root, encoding: 'utf8' })).toBe('false 0\n')
})

/** The command without the addon, in a folder of its own. */
function copyOfProgram(name: string) {
  const copy = join(work, name)
  for (const folder of ['bin', 'dist']) cpSync(join(root, folder), join(copy, folder), { recursive: true })
  copyFileSync(join(root, 'package.json'), join(copy, 'package.json'))
  const run = (...args: string[]) => spawnSync(process.execPath, [join(copy, 'bin/tbuild.js'), ...args], { encoding: 'utf8' })
  return { copy, run }
}

test('the command runs where the addon is missing, until it needs it', () => {
  const { run } = copyOfProgram('no-addon')
  expect(run('--version')).toMatchObject({ status: 0, stdout: tbuild(['--version']).stdout })
  expect(run('--root', join(work, 'other'), work)).toMatchObject({ status: 1, stderr: expect.stringContaining('code: NATIVE_MISSING') })
})

test('the command runs with code of V8 that is empty, as a full disk left it, or no file', () => {
  const { copy, run } = copyOfProgram('no-code')
  const code = join(copy, 'dist/cli.cache')
  mkdirSync(join(copy, 'build'))
  copyFileSync(join(root, 'build/sys.node'), join(copy, 'build/sys.node'))
  writeFileSync(code, '')
  expect(run('--version')).toMatchObject({ status: 0, stderr: '' })
  rmSync(code)
  mkdirSync(code)
  expect(run('--version')).toMatchObject({ status: 0, stderr: '' })
})

describe('results', () => {
  test('-q prints the id, --iidfile and --metadata-file are written, -t names it for images, inspect and history', async () => {
    const folder = await context('FROM busybox\nLABEL a=1\nRUN echo 1 > /x\n')
    const [iid, metadata] = [join(work, 'iid'), join(work, 'metadata.json')]
    const built = tbuild(['-q', '-t', 'app:1', '--iidfile', iid, '--metadata-file', metadata, ...base, folder])
    expect(built).toMatchObject({ status: 0, stderr: '' })
    expect(built.stdout).toMatch(/^sha256:[0-9a-f]{64}\n$/)
    expect(readFileSync(iid, 'utf8')).toBe(built.stdout.trim())
    expect(JSON.parse(readFileSync(metadata, 'utf8'))['containerimage.config.digest']).toBe(built.stdout.trim())

    const store = base.slice(0, 2)
    expect(tbuild(['images', '-q', ...store]).stdout).toBe(`${built.stdout.slice(7, 19)}\n`)
    expect(JSON.parse(tbuild(['inspect', 'app:1', ...store]).stdout)[0]).toMatchObject({
      Id: built.stdout.trim(),
      RepoTags: ['app:1'],
      Config: { Labels: { a: '1' } },
    })
    const history = tbuild(['history', 'app:1', '--format', 'json', ...store])
      .stdout.trim()
      .split('\n')
      .map((line) => JSON.parse(line))
    expect(history[0]).toMatchObject({ CreatedBy: 'RUN /bin/sh -c echo 1 > /x # buildkit', Comment: 'buildkit.dockerfile.v0' })
  }, 60_000)

  test('the Dockerfile comes from standard input', async () => {
    const folder = await context('FROM scratch\n')
    const { status, stdout } = tbuild(['-q', '-f', '-', ...base, folder], { input: 'FROM busybox\nENV FROM=stdin\n' })
    expect(status).toBe(0)
    expect(stdout).toMatch(/^sha256:/)
  }, 60_000)

  test('an archive goes to standard output, progress to standard error', async () => {
    const folder = await context('FROM busybox\nCOPY Dockerfile /\n')
    const { status, stdout, stderr } = tbuild(['-o', 'type=docker,dest=-', '--progress', 'plain', ...base, folder])
    expect(status).toBe(0)
    expect(stdout).toContain('manifest.json')
    expect(stdout).not.toContain('#1 ')
    expect(stderr).toContain('COPY Dockerfile /')
  }, 60_000)

  test('rawjson is one event a line', async () => {
    const folder = await context('FROM busybox\nRUN echo rawjson-output\n')
    const { stderr } = tbuild(['--progress', 'rawjson', ...base, folder])
    const events = stderr
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line))
    expect(events.map((event) => event.type)).toEqual(expect.arrayContaining(['vertex', 'started', 'log', 'done']))
    expect(events.find((event) => event.type === 'log' && event.data?.includes('rawjson-output'))).toMatchObject({ stream: 'stdout' })
  }, 60_000)
})

describe('failures', () => {
  test("a failing RUN's own code is the exit status; the report shows the line and the last output", async () => {
    const folder = await context('FROM busybox\nRUN echo almost && exit 42\n')
    const { status, stderr, stdout } = tbuild(['--progress', 'plain', ...base, folder])
    expect(status).toBe(42)
    expect(stdout).toBe('')
    expect(stderr).toContain(
      'Dockerfile:2:1\n   1 |     FROM busybox\n   2 | >>> RUN echo almost && exit 42\n     |     ^^^^^^^^^^^^^^^^^^^^^^^^^^\n',
    )
    expect(stderr).toContain('  | almost\n')
    expect(stderr).not.toMatch(/\n {4}at /)
  }, 60_000)

  test.each([
    ['FORM busybox\n', /unknown instruction: FORM \(did you mean FROM\?\)/, 1],
    ['FROM busybox\nCOPY missing /\n', /"\/missing": not found/, 1],
  ])(
    '%j',
    async (dockerfile, message, code) => {
      const { status, stderr } = tbuild(['--progress', 'plain', ...base, await context(dockerfile)])
      expect(stderr).toMatch(message)
      expect(stderr).toContain('>>>')
      expect(stderr).not.toMatch(/\n {4}at /)
      expect(status).toBe(code)
    },
    60_000,
  )

  test('usage errors end with 2 and touch no store', () => {
    expect(tbuild(['--no-cach', '.'])).toMatchObject({ status: 2, stdout: '' })
    expect(tbuild(['--root', join(work, 'never'), '-o', 'type=floppy', '.']).status).toBe(2)
    expect(existsSync(join(work, 'never'))).toBe(false)
  })

  test('Ctrl-C ends every process of the build with 130 and leaves nothing half-made', async () => {
    const folder = await context('FROM busybox\nRUN echo started && sleep 987654\n')
    const child = startTbuild(['--progress', 'plain', ...base, folder])
    const ended = new Promise<number | null>((resolve) => child.on('exit', resolve))
    let seen = ''
    await new Promise<void>((resolve) => {
      child.stderr.on('data', (data: Buffer) => {
        seen += data.toString()
        if (/ started$/m.test(seen)) resolve()
      })
      void ended.then(() => resolve())
    })
    child.kill('SIGINT')
    expect(await ended).toBe(130)
    expect(running('sleep 987654')).toEqual([])
    await mkdir(join(work, 'store/v1/tmp'), { recursive: true })
    expect(await readdir(join(work, 'store/v1/tmp'))).toEqual([])
  }, 60_000)
})

describe('a working directory without a path', () => {
  // Node cannot remove what lies so deep.
  afterAll(() => void execFileSync('rm', ['-rf', join(work, 'd'.repeat(200))]))
  const command = [process.execPath, join(root, 'bin/tbuild.js')]
  const inside = (way: string, args: readonly string[]) =>
    spawnSync('python3', ['-c', way, work, ...command, ...base, '--progress', 'plain', ...args], { encoding: 'utf8' })
  const run = '\nos.execv(sys.argv[2], sys.argv[2:])'
  const removed = `import os, sys\nos.chdir(sys.argv[1]); os.mkdir("gone"); os.chdir("gone"); os.rmdir("../gone")${run}`
  const deep = `import os, sys\nos.chdir(sys.argv[1])\nfor i in range(25):\n  os.makedirs("d" * 200, exist_ok=True); os.chdir("d" * 200)${run}`
  // A name beside it that Node shows in the same way must not be taken for it.
  const latin1 = `import os, sys\nos.chdir(sys.argv[1])\nfor name in b"caf\\xe9", "caf\\ufffd":\n  os.makedirs(name, exist_ok=True)\nos.chdir(b"caf\\xe9")${run}`

  test.each([
    ['removed', removed],
    ['deeper than a path may be', deep],
    ['not UTF-8', latin1],
  ])('that is %s: absolute paths build, a relative one is named', async (_name, way) => {
    const folder = await context('FROM busybox\nRUN true\n')
    expect(inside(way, [folder])).toMatchObject({ status: 0 })
    expect(inside(way, ['.'])).toMatchObject({
      status: 1,
      stderr: expect.stringMatching(/\nhint: .*absolute paths\ncode: WORKING_DIRECTORY\n$/),
    })
    const from = ['--build-context', 'other=oci-layout://layout', await context('FROM other\n')]
    for (const args of [from, ['--root', 'store', folder], ['-o', 'out', folder], ['-f', 'Dockerfile', folder]]) {
      expect(inside(way, args)).toMatchObject({ status: 1, stderr: expect.stringContaining('code: WORKING_DIRECTORY') })
    }
  })

  test('what is named by bytes that are not UTF-8 is refused, and nothing is written elsewhere', async () => {
    const folder = await context('FROM scratch\nCOPY Dockerfile /\n')
    const out = join(work, 'out\ufffd')
    const way = (change: string) => `import os, sys\n${change}${run}`
    const asBytes = way('sys.argv = [word.encode().replace(b"\\xef\\xbf\\xbd", b"\\xe9") for word in sys.argv]')
    expect(inside(asBytes, ['-o', out, folder])).toMatchObject({ status: 2, stderr: expect.stringContaining('is not UTF-8\n') })
    expect(existsSync(out)).toBe(false)
    const store = way('os.environb[b"TBUILD_ROOT"] = sys.argv[1].encode() + b"/st\\xe9"')
    expect(inside(store, [folder])).toMatchObject({ status: 2, stderr: expect.stringContaining('the variable TBUILD_ROOT is not UTF-8') })
    // A name that has the character itself.
    expect(inside(way(''), ['-o', out, folder])).toMatchObject({ status: 0 })
    expect(existsSync(join(out, 'Dockerfile'))).toBe(true)
  })
})
