import { afterAll, beforeAll, expect, test } from '@jest/globals'
import { openWorkspace, type Workspace } from '../support/workspace.ts'

let workspace: Workspace
beforeAll(() => {
  workspace = openWorkspace()
}, 300_000)
afterAll(() => workspace.remove(), 120_000)

test('a step that fails ends the build although others wait for a place in the queue', () => {
  const stage = (name: string, command: string) => `FROM busybox AS ${name}\nRUN ${command}\n`
  const copies = ['a', 'b', 'c'].map((name) => `COPY --from=${name} /etc/passwd /${name}\n`).join('')
  const dockerfile = `${stage('a', 'sleep 1; exit 3')}${stage('b', 'sleep 1')}${stage('c', 'sleep 1')}FROM scratch\n${copies}`
  const ended = workspace.run(['--jobs', '1', workspace.context({ Dockerfile: dockerfile })])
  expect(ended.status).toBe(3)
  expect(ended.stderr).toContain('did not complete successfully: exit code: 3')
}, 30_000)
