import { afterAll, beforeAll, expect } from '@jest/globals'
import { script } from '../support/cli.ts'
import { running } from '../support/processes.ts'
import { onTerminal, type TerminalPlan, terminalTest } from '../support/terminal.ts'
import { openWorkspace, type Workspace } from '../support/workspace.ts'

/** Terminals without a size, too small ones, and those that stop or go away. */
let work: Workspace
beforeAll(() => {
  script('packages.mjs', ['python3'])
  work = openWorkspace()
}, 300_000)
afterAll(() => work.remove(), 120_000)

const short = () => work.context({ Dockerfile: "FROM busybox\nRUN printf 'on%s\\n' ce; sleep 0.6; printf 'twi%s\\n' ce; sleep 0.6\n" })
/** `mark` is in the command line of a process of the step. */
const endless = (mark: string) => work.context({ Dockerfile: `FROM busybox\nRUN printf 'be%s\\n' gun; sleep ${mark}\n` })

const SIZES: readonly (readonly [string, TerminalPlan])[] = [
  ['without a size, as of script and ssh -tt', { size: [0, 0] }],
  ['of 1 column', { size: [20, 1] }],
  ['of 1 row', { size: [1, 80] }],
  ['of 0 rows', { size: [0, 80] }],
  [
    'that is resized to nothing and back',
    {
      on: [
        { text: 'once', do: 'resize', size: [0, 0] },
        { text: 'twice', do: 'resize', size: [1, 1] },
        { text: '\r', do: 'resize', size: [20, 60] },
      ],
    },
  ],
]
for (const [name, plan] of SIZES) {
  terminalTest(`a terminal ${name}: the build ends, and draws no more than elsewhere`, () => {
    const { status, text } = onTerminal([...work.base, '--no-cache', short()], plan)
    expect(status).toBe(0)
    expect(text).toMatch(/Built in \d+\.\ds: 2 steps, \d cached\r\n/)
    expect(text.length).toBeLessThan(100_000)
  })
}

terminalTest('a terminal without a size: Ctrl-C ends the build', () => {
  const { status } = onTerminal([...work.base, endless('876501')], { size: [0, 0], on: [{ text: 'begun', do: 'interrupt' }] })
  expect(status).toBe(130)
  expect(running('sleep 876501')).toEqual([])
})

for (const progress of ['tty', 'plain']) {
  terminalTest(`${progress}: a terminal that goes away ends the build and its steps`, () => {
    const args = ['--progress', progress, endless('876502')]
    const { status } = onTerminal([...work.base, ...args], { on: [{ text: 'begun', do: 'hang-up' }] })
    expect([130, 141]).toContain(status)
    expect(running('sleep 876502')).toEqual([])
  })

  terminalTest(`${progress}: a terminal that stops reading keeps no signal from ending the build`, () => {
    const folder = work.context({
      Dockerfile: "FROM busybox\nRUN sleep 876503 & printf 'be%s\\n' gun; sleep 0.5; yes | head -c 100000000\n",
    })
    const { status } = onTerminal([...work.base, '--progress', progress, folder], { on: [{ text: 'begun', do: 'stop' }] })
    expect(status).toBe(130)
    expect(running('sleep 876503')).toEqual([])
  })
}
