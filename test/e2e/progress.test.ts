import { afterAll, beforeAll, expect, test } from '@jest/globals'
import { script, startTbuild } from '../support/cli.ts'
import { running } from '../support/processes.ts'
import { onTerminal, terminalTest } from '../support/terminal.ts'
import { openWorkspace, type Workspace } from '../support/workspace.ts'

/** What a build shows while it runs: on a real terminal, in a log, for a program. */
let workspace: Workspace
let options: string[] = []
beforeAll(() => {
  script('packages.mjs', ['python3'])
  workspace = openWorkspace()
  const layout = script('busybox-layout.mjs').stdout.trim()
  options = ['--root', workspace.store, '--build-context', `busybox=oci-layout://${layout}`]
}, 300_000)
afterAll(() => workspace.remove(), 120_000)

const ESC = String.fromCharCode(27)
const withoutTimes = (text: string) => text.replace(/\d+\.\d+s/g, 'N.Ns').replace(/^(#\d+ )\d+\.\d{3} /gm, '$1N ')
/** What was written, a row a line: going back to the first column begins one. */
const withoutSequences = (text: string) =>
  text
    .replaceAll(`${ESC}[1G`, '\n')
    .replace(new RegExp(`${ESC}\\[[0-9;?]*[a-zA-Z]`, 'g'), '')
    .replaceAll('\r', '')

terminalTest('a terminal: running steps move, ended ones stay with their time, cached ones are marked, a summary ends it', () => {
  const folder = workspace.context({ Dockerfile: 'FROM busybox\nRUN echo on-the-terminal; sleep 1\nRUN true\n' })
  const first = onTerminal([...options, folder])
  expect(first.status).toBe(0)
  const shown = withoutSequences(first.text)
  // The moving part showed the running step with its output below it.
  expect(shown).toMatch(/\[2\/3\] RUN echo on-the-terminal; sleep 1 +\d\.\ds/)
  expect(shown).toMatch(/^ {4}on-the-terminal$/m)
  const lines = withoutTimes(shown).trimEnd().split('\n')
  expect(lines.at(-1)).toMatch(/^Built in N\.Ns: 3 steps, \d cached$/)
  expect(lines.filter((line) => /^✔ \[3\/3\] RUN true +N\.Ns$/.test(line)).length).toBe(1)

  const again = onTerminal([...options, folder])
  const cached = withoutTimes(withoutSequences(again.text))
  expect(cached).toMatch(/^✔ \[2\/3\] RUN echo on-the-terminal; sleep 1 +CACHED$/m)
  expect(cached).toMatch(/Built in N\.Ns: 3 steps, 3 cached\n$/)
})

terminalTest('a terminal: no line is wider than it, the cursor is shown again, colours go with NO_COLOR', () => {
  const folder = workspace.context({ Dockerfile: `FROM busybox\nRUN echo ${'long '.repeat(60)}; sleep 0.5\n` })
  const { status, text } = onTerminal([...options, '--no-cache', folder], {}, { NO_COLOR: '1' })
  expect(status).toBe(0)
  expect(text).toContain('long long')
  for (const line of withoutSequences(text).split('\n')) expect([...line].length).toBeLessThanOrEqual(60)
  expect(text.includes(`${ESC}[?25l`)).toBe(text.includes(`${ESC}[?25h`))
  expect(text).not.toContain(`${ESC}[32m`)
})

terminalTest('a terminal: Ctrl-C ends the build with 130 and gives the cursor back', () => {
  const folder = workspace.context({ Dockerfile: 'FROM busybox\nRUN echo now-interrupt; sleep 876543\n' })
  const { status, text } = onTerminal([...options, folder], { on: [{ text: '    now-interrupt', do: 'interrupt' }] })
  expect(status).toBe(130)
  expect(withoutSequences(text)).toContain('ERROR: the build was canceled')
  expect(text.lastIndexOf(`${ESC}[?25h`)).toBeGreaterThan(text.lastIndexOf(`${ESC}[?25l`))
  expect(running('sleep 876543')).toEqual([])
})

test('plain: each step by number and name, in order, then its output and its end', () => {
  const folder = workspace.context({
    Dockerfile: 'FROM busybox AS a\nWORKDIR /w\nCOPY Dockerfile .\nRUN echo in the log; printf unended\n',
  })
  const layout = options[3]?.split('=')[1] ?? ''
  const store = ['--root', workspace.path('plain-store')]
  const { stderr } = workspace.build(['--progress', 'plain', ...store, folder])
  const text = withoutTimes(stderr).replace(/^#\d+ sha256:.*\n/gm, '')
  for (const part of [
    `[a 1/4] FROM ${layout}\n`,
    '[a 2/4] WORKDIR /w\n',
    '[a 3/4] COPY Dockerfile .\n',
    '[a 4/4] RUN echo in the log; printf unended\n#5 N in the log\n#5 N unended\n#5 DONE N.Ns\n',
  ])
    expect(text).toContain(part)
  const again = withoutTimes(workspace.build(['--progress', 'plain', ...store, folder]).stderr)
  expect(again).toBe(
    `#1 [internal] load build context\n#1 DONE N.Ns\n\n#2 [a 1/4] FROM ${layout}\n#2 CACHED\n\n#3 [a 2/4] WORKDIR /w\n#3 CACHED\n\n` +
      '#4 [a 3/4] COPY Dockerfile .\n#4 CACHED\n\n#5 [a 4/4] RUN echo in the log; printf unended\n#5 CACHED\n',
  )
})

terminalTest('a question without a newline is seen while the step waits: on a terminal', () => {
  const folder = workspace.context({ Dockerfile: "FROM busybox\nRUN echo first; printf 'Geographic%s' ' area: '; sleep 876544\n" })
  for (const progress of ['tty', 'plain']) {
    const args = [...options, '--progress', progress, folder]
    expect(onTerminal(args, { on: [{ text: 'Geographic area: ', do: 'interrupt' }] }).status).toBe(130)
  }
})

test('a question without a newline is seen while the step waits: in a log', async () => {
  const folder = workspace.context({ Dockerfile: "FROM busybox\nRUN echo first; printf 'Geographic%s' ' area: '; sleep 876545\n" })
  const child = startTbuild([...options, '--progress', 'plain', folder])
  let log = ''
  await new Promise<void>((resolve) => {
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      log += text
      if (log.endsWith(' area: ')) resolve()
    })
  })
  expect(log).toMatch(/#\d+ \d\.\d+ first\n#\d+ \d\.\d+ Geographic area: $/)
  child.kill('SIGINT')
  expect(await new Promise((resolve) => child.on('close', resolve))).toBe(130)
})

test('rawjson: every vertex is announced, started before it ends, and ends once', () => {
  const folder = workspace.context({ Dockerfile: 'FROM busybox\nRUN printf "\\377"\nRUN echo text\n' })
  const { stderr } = workspace.build(['--progress', 'rawjson', '--root', workspace.path('raw-store'), folder])
  const events = stderr
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as { type: string; id: string; cached?: boolean; base64?: string; data?: string })
  for (const { id } of events.filter(({ type }) => type === 'vertex')) {
    const types = events.filter((event) => event.id === id).map(({ type, cached }) => (type === 'done' && cached ? 'cached' : type))
    expect(types[0]).toBe('vertex')
    expect([id, types.filter((type) => ['done', 'cached', 'failed'].includes(type)).length]).toEqual([id, 1])
    if (types.includes('done')) expect(types.indexOf('started')).toBe(1)
  }
  expect(events.find(({ base64 }) => base64 !== undefined)?.base64).toBe('/w==')
  expect(events.find(({ data }) => data !== undefined)?.data).toBe('text\n')
})

test('quiet says nothing but the id, none not even that; both tell errors', () => {
  const good = workspace.context({ Dockerfile: 'FROM busybox\nRUN echo unseen\n' })
  const id = expect.stringMatching(/^sha256:[0-9a-f]{64}\n$/)
  expect(workspace.build(['--progress', 'quiet', good])).toMatchObject({ stdout: id, stderr: '' })
  expect(workspace.build(['--progress', 'none', good])).toMatchObject({ stdout: '', stderr: '' })
  const bad = workspace.context({ Dockerfile: 'FROM busybox\nRUN echo why; exit 1\n' })
  const { stderr } = workspace.run(['-q', bad])
  expect(stderr).toMatch(/^ERROR: /)
  expect(stderr).toContain('  | why\n')
})
