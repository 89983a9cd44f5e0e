import { spawnSync } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { afterAll, beforeAll, expect, test } from '@jest/globals'
import { root, script } from '../support/cli.ts'
import { running } from '../support/processes.ts'
import { openWorkspace, type Workspace } from '../support/workspace.ts'

/** The package as a program of its own imports it: dist/index.js and its declarations. */
let workspace: Workspace
let layout = ''
beforeAll(() => {
  workspace = openWorkspace()
  layout = script('busybox-layout.mjs').stdout.trim()
}, 300_000)
afterAll(() => workspace.remove(), 120_000)

/** Runs a module in which `build`, `options` and `context` are at hand; it prints JSON. */
function run(dockerfile: string, body: string): Record<string, unknown> {
  const context = workspace.context({ Dockerfile: dockerfile })
  const file = workspace.path(`user-${Math.random()}.mjs`)
  const options = { context, root: workspace.store, buildContexts: { busybox: `oci-layout://${layout}` } }
  writeFileSync(
    file,
    `import { build, errorCode, isTbuildError, parseStages } from ${JSON.stringify(join(root, 'dist/index.js'))}
const options = ${JSON.stringify(options)}
${body}`,
  )
  const { status, stdout, stderr } = spawnSync(process.execPath, [file], { encoding: 'utf8', timeout: 60_000 })
  expect({ status, stderr }).toEqual({ status: 0, stderr: '' })
  return JSON.parse(stdout)
}

test('build() resolves to the image and tells of each step; nothing is printed', () => {
  const result = run(
    'FROM busybox\nRUN echo hello-library\n',
    `const events = []
const result = await build({ ...options, tags: ['lib:1'] }, { onEvent: (event) => events.push(event) })
const output = events.filter((event) => event.type === 'log').map((event) => Buffer.from(event.data).toString()).join('')
console.log(JSON.stringify({ images: result.images, tags: result.tags, steps: result.steps, types: [...new Set(events.map((event) => event.type))], output }))`,
  )
  expect(result).toMatchObject({
    images: [{ configDigest: expect.stringMatching(/^sha256:[0-9a-f]{64}$/), platform: { os: 'linux' } }],
    tags: [expect.stringContaining('lib:1')],
    steps: { cached: 0 },
    output: 'hello-library\n',
  })
  expect(result.types).toEqual(expect.arrayContaining(['vertex', 'started', 'log', 'done']))
})

test('a step waits for a promise of onEvent, and nothing piles up', () => {
  const result = run(
    'FROM busybox\nRUN yes | head -c 3000000\n',
    `let open = 0, most = 0, bytes = 0
const onEvent = (event) => {
  if (event.type !== 'log') return
  bytes += event.data.length
  open += event.data.length
  most = Math.max(most, open)
  return new Promise((resolve) => setTimeout(resolve, 1)).then(() => { open -= event.data.length })
}
await build(options, { onEvent })
console.log(JSON.stringify({ bytes, few: most <= 128 * 1024 }))`,
  )
  expect(result).toEqual({ bytes: 3_000_000, few: true })
})

test('a failure is a TbuildError with code, place and exit code', () => {
  const result = run(
    'FROM busybox\nRUN exit 7\n',
    `const error = await build(options).catch((caught) => caught)
console.log(JSON.stringify({ own: isTbuildError(error), code: errorCode(error), exitCode: error.exitCode, line: error.span.start.line }))`,
  )
  expect(result).toEqual({ own: true, code: 'RUN_FAILED', exitCode: 7, line: 2 })
})

test('an aborted signal ends the build and its processes', () => {
  const result = run(
    'FROM busybox\nRUN echo started && sleep 543219\n',
    `const controller = new AbortController()
const begun = Date.now()
const onEvent = (event) => { if (event.type === 'log') controller.abort() }
const error = await build(options, { onEvent, signal: controller.signal }).catch((caught) => caught)
console.log(JSON.stringify({ code: errorCode(error), fast: Date.now() - begun < 30_000 }))`,
  )
  expect(result).toEqual({ code: 'CANCELED', fast: true })
  expect(running('sleep 543219')).toEqual([])
})

test('an archive goes to the stdout hook, two builds at once share the process', () => {
  const result = run(
    'FROM busybox\nRUN echo together > /x\n',
    `let bytes = 0
const stdout = async (data) => { bytes += data.length }
const outputs = [{ type: 'oci', dest: '-', tar: true }]
const [one, two] = await Promise.all([build({ ...options, outputs }, { stdout }), build(options)])
console.log(JSON.stringify({ archive: bytes > 500_000, same: one.images[0].configDigest === two.images[0].configDigest }))`,
  )
  expect(result.archive).toBe(true)
})

test('parseStages() reads a Dockerfile without building it', () => {
  const result = run(
    'FROM scratch\n',
    `const { stages } = parseStages({ name: 'Dockerfile', text: 'FROM a AS b\\nRUN c\\n' })
console.log(JSON.stringify({ name: stages[0].name, kinds: stages[0].instructions.map(({ kind }) => kind) }))`,
  )
  expect(result).toEqual({ name: 'b', kinds: ['run'] })
})

test('the declarations are those that a user compiles against', () => {
  const compiler = join(dirname(createRequire(import.meta.url).resolve('typescript/package.json')), 'bin/tsc')
  const { status, stdout } = spawnSync(process.execPath, [compiler, '-p', join(root, 'test/types')], { encoding: 'utf8' })
  expect({ status, stdout }).toEqual({ status: 0, stdout: '' })
})
