import { describe, expect, test } from '@jest/globals'
import { sha256 } from '../../../src/base/digest.ts'
import type { BuildEvent } from '../../../src/base/events.ts'
import { progressMode } from '../../../src/cli/progress/display.ts'
import { finished, frame, painter, summary } from '../../../src/cli/progress/frame.ts'
import { plainDisplay } from '../../../src/cli/progress/plain.ts'
import { rawjsonDisplay } from '../../../src/cli/progress/rawjson.ts'
import { StepBook } from '../../../src/cli/progress/steps.ts'
import { ttyDisplay } from '../../../src/cli/progress/tty.ts'
import type { Display, Screen } from '../../../src/cli/progress/types.ts'
import { cut, textWidth } from '../../../src/cli/text.ts'
import { cost } from '../../support/cost.ts'

const T = 1_700_000_000_000
const bytes = (text: string) => Buffer.from(text)
const vertex = (id: string, name: string) => ({ type: 'vertex', id, digest: sha256(id), inputs: [], name }) as const

const BUILD: BuildEvent[] = [
  vertex('a', '[build 1/3] FROM busybox'),
  vertex('b', '[build 2/3] RUN npm ci'),
  vertex('c', '[build 3/3] RUN false'),
  { type: 'started', id: 'a', time: T },
  { type: 'done', id: 'a', time: T + 5, cached: true },
  { type: 'started', id: 'b', time: T + 10 },
  { type: 'log', id: 'b', stream: 'stdout', data: bytes('added 3 '), time: T + 100 },
  { type: 'log', id: 'b', stream: 'stderr', data: bytes('warn\n'), time: T + 200 },
  { type: 'log', id: 'b', stream: 'stdout', data: bytes('packages\nrest'), time: T + 422 },
  { type: 'started', id: 'c', time: T + 500 },
  { type: 'log', id: 'c', stream: 'stdout', data: bytes('50%\r\u001b[31m100%\u001b[0m\n'), time: T + 600 },
  { type: 'done', id: 'b', time: T + 1210, cached: false },
  { type: 'failed', id: 'c', time: T + 1300, canceled: false, message: 'exit code: 1' },
  { type: 'warning', rule: 'LegacyKeyValueFormat', message: 'use ENV key=value' },
]

function shown(open: (screen: Screen) => Display, events: readonly BuildEvent[], screen: Partial<Screen> = {}, failed = false): string {
  let text = ''
  const display = open({ ...screen, write: (part: string) => (text += part) })
  for (const event of events) display.event(event)
  display.close(failed)
  return text
}

test('plain lines as BuildKit writes them', () => {
  expect(shown(plainDisplay, BUILD)).toBe(
    `#1 [build 1/3] FROM busybox
#1 CACHED

#2 [build 2/3] RUN npm ci
#2 0.090 added 3 warn
#2 0.412 packages

#3 [build 3/3] RUN false
#3 0.100 100%

#2 [build 2/3] RUN npm ci
#2 0.412 rest
#2 DONE 1.2s

#3 [build 3/3] RUN false
#3 ERROR: exit code: 1

1 warning found:
 - LegacyKeyValueFormat: use ENV key=value
`,
  )
})

test('a silent step is named when it lasts or ends, and once', async () => {
  let text = ''
  const display = plainDisplay({ write: (part: string) => (text += part) })
  const send = (events: readonly BuildEvent[]) => {
    for (const event of events) display.event(event)
  }
  send([
    vertex('a', '[2/2] WORKDIR /src'),
    vertex('b', '[1/2] FROM busybox'),
    { type: 'started', id: 'a', time: T },
    { type: 'done', id: 'b', time: T, cached: true },
  ])
  expect(text).toBe('#1 [1/2] FROM busybox\n#1 CACHED\n')
  await new Promise((resolve) => setTimeout(resolve, 300))
  expect(text).toBe('#1 [1/2] FROM busybox\n#1 CACHED\n\n#2 [2/2] WORKDIR /src\n')
  send([
    { type: 'progress', id: 'b', item: 'x', current: 1, total: 1, done: true, time: T },
    { type: 'done', id: 'a', time: T + 400, cached: false },
  ])
  display.close(false)
  expect(text).toMatch(/\n\n#2 DONE 0\.4s\n$/)
})

describe('a line without an end', () => {
  const moment = (milliseconds: number) => new Promise((resolve) => setTimeout(resolve, milliseconds))
  const log = (id: string, text: string, time: number, stream: 'stdout' | 'stderr' = 'stdout'): BuildEvent => {
    return { type: 'log', id, stream, data: bytes(text), time: T + time }
  }

  function opened(screen: Partial<Screen> = {}) {
    let text = ''
    const display = plainDisplay({ ...screen, write: (part: string) => (text += part) })
    for (const id of ['a', 'b']) display.event(vertex(id, `RUN ${id}`))
    display.event({ type: 'started', id: 'a', time: T })
    return { display, text: () => text }
  }

  test('is shown soon, and goes on where it stands', async () => {
    const { display, text } = opened()
    display.event(log('a', 'first\nGeographic area: ', 24))
    expect(text()).toBe('#1 RUN a\n#1 0.024 first\n')
    await moment(150)
    expect(text()).toBe('#1 RUN a\n#1 0.024 first\n#1 0.024 Geographic area: ')
    display.event(log('a', '8', 2000, 'stderr'))
    await moment(150)
    expect(text()).toMatch(/Geographic area: 8$/)
    display.event(log('a', '\nnext\n', 3000))
    expect(text()).toMatch(/Geographic area: 8\n#1 3\.000 next\n$/)
  })

  test('dots that come one by one are shown while they come', async () => {
    const { display, text } = opened()
    for (let index = 0; index < 40; index += 1) {
      display.event(log('a', '.', index))
      await moment(20)
    }
    expect(text()).toMatch(/^#1 RUN a\n#1 0\.000 \.{10,40}$/)
  })

  test('is written whole when another step has come between', async () => {
    const { display, text } = opened()
    display.event(log('a', 'half ', 10))
    await moment(150)
    display.event({ type: 'started', id: 'b', time: T })
    display.event(log('b', 'other\n', 20))
    display.event(log('a', 'whole\n', 30))
    expect(text()).toBe('#1 RUN a\n#1 0.010 half \n\n#2 RUN b\n#2 0.020 other\n\n#1 RUN a\n#1 0.010 half whole\n')
  })

  test('ends with its step, its build and its error', async () => {
    for (const end of ['done', 'failed', 'close'] as const) {
      const { display, text } = opened()
      display.event(log('a', 'open', 10))
      await moment(150)
      if (end === 'done') display.event({ type: 'done', id: 'a', time: T + 20, cached: false })
      if (end === 'failed') display.event({ type: 'failed', id: 'a', time: T + 20, canceled: false, message: 'm' })
      display.close(false)
      expect(text()).toBe(`#1 RUN a\n#1 0.010 open\n${{ done: '#1 DONE 0.0s\n', failed: '#1 ERROR: m\n', close: '' }[end]}`)
    }
  })

  test('of a progress bar only the first state and the last are kept where there is no terminal', async () => {
    const { display, text } = opened()
    for (const part of ['10%', '\r50%', '\r100%']) {
      display.event(log('a', part, 10))
      await moment(120)
    }
    display.event(log('a', '\n', 20))
    expect(text()).toBe('#1 RUN a\n#1 0.010 10%\n#1 0.010 100%\n')
    const terminal = opened({ isTTY: true })
    for (const part of ['10%', '\r50%']) {
      terminal.display.event(log('a', part, 10))
      await moment(120)
    }
    expect(terminal.text()).toBe('#1 RUN a\n#1 0.010 10%\r50%')
  })

  test('is the newest below its step on a terminal', () => {
    const book = new StepBook()
    book.apply(vertex('a', 'RUN a'))
    book.apply({ type: 'started', id: 'a', time: T })
    book.apply(log('a', 'first\n\u001b[1mname:\u001b[0m ', 1))
    const size = { columns: 40, rows: 10 }
    expect(frame(book, T, size, painter({ NO_COLOR: '1' })).slice(1)).toEqual(['    first', '    name: '])
  })
})

test('the output of a command keeps its colours on a terminal only', () => {
  expect(shown(plainDisplay, BUILD, { isTTY: true })).toContain('#3 0.100 50%\r\u001b[31m100%\u001b[0m\n')
})

test('a name cannot move the cursor, or begin a line of its own', () => {
  const events: BuildEvent[] = [vertex('a', 'RUN <<EOF\n\u001b[2Jevil\nEOF'), { type: 'done', id: 'a', time: T, cached: true }]
  expect(shown(plainDisplay, events)).toBe('#1 RUN <<EOF \\x1b[2Jevil EOF\n#1 CACHED\n')
})

test('bytes that are cut within a character are joined', () => {
  const data = bytes('é\n')
  const events: BuildEvent[] = [
    vertex('a', 'RUN x'),
    { type: 'started', id: 'a', time: T },
    { type: 'log', id: 'a', stream: 'stdout', data: data.subarray(0, 1), time: T },
    { type: 'log', id: 'a', stream: 'stdout', data: data.subarray(1), time: T },
  ]
  expect(shown(plainDisplay, events)).toBe('#1 RUN x\n#1 0.000 é\n')
})

test('rawjson: one event a line, output as text or base64, spans without the file', () => {
  const file = { name: 'Dockerfile', text: 'FROM a\n' }
  const position = { line: 1, column: 1 }
  const lines = shown(rawjsonDisplay, [
    { ...vertex('a', 'FROM a'), span: { file, start: position, end: position } },
    { type: 'log', id: 'a', stream: 'stdout', data: bytes('text'), time: T },
    { type: 'log', id: 'a', stream: 'stdout', data: Uint8Array.of(0xff, 0x00), time: T },
  ])
  expect(
    lines
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line)),
  ).toEqual([
    { ...vertex('a', 'FROM a'), span: { file: 'Dockerfile', start: position, end: position } },
    { type: 'log', id: 'a', stream: 'stdout', data: 'text', time: T },
    { type: 'log', id: 'a', stream: 'stdout', base64: '/wA=', time: T },
  ])
})

describe('terminal', () => {
  const plain = painter({ NO_COLOR: '1' })

  function running(count: number): StepBook {
    const book = new StepBook()
    for (let index = 0; index < count; index += 1) {
      book.apply(vertex(`${index}`, `[${index}] RUN a command that is rather long, with 日本語`))
      book.apply({ type: 'started', id: `${index}`, time: T })
      book.apply({ type: 'log', id: `${index}`, stream: 'stdout', data: bytes('first\nsecond\tline\nthird\n'), time: T })
    }
    return book
  }

  test.each([20, 33, 80, 200])('no line is wider than %d columns', (columns) => {
    for (const line of frame(running(5), T + 61_234, { columns, rows: 50 }, plain)) expect(textWidth(line)).toBeLessThan(columns)
  })

  test('many steps never take more rows than the terminal has', () => {
    const lines = frame(running(100), T, { columns: 80, rows: 12 }, plain)
    expect(lines).toHaveLength(10)
    expect(lines.at(-1)).toBe('  … and 91 more')
  })

  test('a picture does not look at steps that are not running, and shows those in the order of the file', () => {
    const book = new StepBook()
    for (let index = 0; index < 1000; index += 1) book.apply(vertex(`${index}`, `step ${index}`))
    for (const id of ['7', '3']) book.apply({ type: 'started', id, time: T })
    book.apply({ type: 'started', id: '5', time: T })
    book.apply({ type: 'done', id: '5', time: T, cached: false })
    for (const [id, step] of book.steps) {
      if (id === '7' || id === '3') continue
      Object.defineProperty(step, 'state', {
        get: () => {
          throw new Error(`step ${id} was looked at`)
        },
      })
    }
    expect(book.running().map(({ name }) => name)).toEqual(['step 3', 'step 7'])
  })

  test('a running step shows its time and its last output', () => {
    expect(frame(running(1), T + 1500, { columns: 40, rows: 5 }, plain)).toEqual([
      '  [0] RUN a command that is rathe… 1.5s',
      '    second  line',
      '    third',
    ])
  })

  test('cached steps are marked, and the summary counts them', () => {
    const book = new StepBook()
    const lines = BUILD.map((event) => book.apply(event))
      .filter((step) => step !== undefined)
      .map((step) => finished(step, 40, plain))
    expect(lines).toEqual([
      '✔ [build 1/3] FROM busybox       CACHED',
      '✔ [build 2/3] RUN npm ci           1.2s',
      '✖ [build 3/3] RUN false            0.8s',
    ])
    expect(summary(book, 1300)).toBe('Built in 1.3s: 2 steps, 1 cached')
  })

  test('NO_COLOR leaves no escape sequences in a short build', () => {
    const text = shown((screen) => ttyDisplay(screen, { NO_COLOR: '1' }), BUILD, { isTTY: true, columns: 60, rows: 20 })
    expect(text).not.toContain('\u001b')
    expect(text).toContain('✔ [build 2/3] RUN npm ci')
  })
})

test('the mode is chosen by the terminal, the environment and the options', () => {
  const tty = { isTTY: true, write: () => {} }
  const pipe = { write: () => {} }
  expect(progressMode(undefined, false, tty, {})).toBe('tty')
  expect(progressMode(undefined, false, pipe, {})).toBe('plain')
  expect(progressMode(undefined, false, tty, { TERM: 'dumb' })).toBe('plain')
  expect(progressMode(undefined, false, tty, { BUILDKIT_PROGRESS: 'rawjson' })).toBe('rawjson')
  expect(progressMode('plain', false, tty, { BUILDKIT_PROGRESS: 'rawjson' })).toBe('plain')
  expect(progressMode(undefined, true, tty, { BUILDKIT_PROGRESS: 'rawjson' })).toBe('quiet')
  expect(progressMode('none', false, tty, {})).toBe('quiet')
})

test('a picture costs what it shows, however long the lines are', () => {
  const draw = (length: number) => {
    const line = 'x'.repeat(length)
    return cost(() => {
      for (let i = 0; i < 100; i += 1) cut(line, 80)
    })
  }
  draw(64)
  expect(draw(60_000)).toBeLessThan(draw(600) + 50)
  expect(cut(`${'x'.repeat(79)}e\u0301`, 80)).toBe(`${'x'.repeat(79)}e\u0301`)
  expect(cut(`${'x'.repeat(79)}日`, 80)).toBe(`${'x'.repeat(79)}…`)
  expect(cut(`${'x'.repeat(78)}e\u0301xx`, 80)).toBe(`${'x'.repeat(78)}e\u0301…`)
})
