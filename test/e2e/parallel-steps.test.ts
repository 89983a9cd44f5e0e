import { afterAll, beforeAll, expect, test } from '@jest/globals'
import { openWorkspace, type Workspace } from '../support/workspace.ts'

let workspace: Workspace
beforeAll(() => {
  workspace = openWorkspace()
}, 300_000)
afterAll(() => workspace.remove(), 120_000)

/** Stages that each wait until all of them have begun, at most some seconds: what runs one after the other never meets. */
function meeting(stages: number): string {
  const names = Array.from({ length: stages }, (_, index) => `s${index}`)
  const wait = `for i in $(seq 100); do [ $(ls /meet | wc -l) = ${stages} ] && exit 0; sleep 0.1; done; ls /meet; exit 7`
  const stage = (name: string) => `FROM busybox AS ${name}\nRUN --mount=type=cache,id=meet,target=/meet touch /meet/${name}; ${wait}\n`
  return `${names.map(stage).join('')}FROM scratch\n${names.map((name) => `COPY --from=${name} /etc/passwd /${name}\n`).join('')}`
}

test('steps that wait, wait at the same time, whatever the number of processors', () => {
  const context = workspace.context({ Dockerfile: meeting(12) })
  const ended = workspace.run([context])
  expect([ended.status, ended.stderr]).toEqual([0, expect.stringContaining('RUN --mount=type=cache,id=meet')])
}, 60_000)

test('--jobs says how many', () => {
  const log = 'echo + >> /log/lines; sleep 0.3; echo - >> /log/lines'
  const stage = (name: string) => `FROM busybox AS ${name}\nRUN --mount=type=cache,id=log,target=/log : ${name}; ${log}\n`
  const names = ['a', 'b', 'c', 'd']
  const copies = names.map((name) => `COPY --from=${name} /etc/passwd /${name}\n`).join('')
  const show =
    'FROM busybox AS show\nRUN --mount=type=cache,id=log,target=/log cat /log/lines > /lines\nFROM scratch AS lines\nCOPY --from=show /lines /\n'
  const context = workspace.context({ Dockerfile: `${names.map(stage).join('')}FROM scratch AS all\n${copies}${show}` })
  workspace.build(['--jobs', '1', '--target', 'all', context])
  const shown = workspace.build(['--target', 'lines', '-o', '-', context])
  expect(shown.stdout).toContain('+\n-\n'.repeat(4))
}, 60_000)
