import { readFileSync, writeFileSync } from 'node:fs'
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from '@jest/globals'
import { root, script } from '../support/cli.ts'
import { exchanges, runSession, withOutputs, withoutDigests } from '../support/console-session.ts'

const document = join(root, 'docs/explain.md')
let work = ''
let env: NodeJS.ProcessEnv = {}

/** `tbuild` as a reader has it, but for a store of its own and a busybox without a registry. */
beforeAll(async () => {
  work = await mkdtemp(join(tmpdir(), 'tbuild-explain-'))
  const layout = script('busybox-layout.mjs')
  if (layout.status !== 0) throw new Error(layout.stderr)
  await mkdir(join(work, 'bin'))
  const command = `exec '${process.execPath}' '${join(root, 'bin/tbuild.js')}' "$@" --build-context 'busybox=oci-layout://${layout.stdout.trim()}'`
  await writeFile(join(work, 'bin/tbuild'), `#!/bin/sh\n${command}\n`, { mode: 0o755 })
  env = { ...process.env, PATH: `${join(work, 'bin')}:${process.env.PATH}`, TBUILD_ROOT: join(work, 'store') }
}, 300_000)
afterAll(() => rm(work, { recursive: true, force: true }))

// UPDATE_DOCS=1 writes what the commands print into the document.
test('the session in docs/explain.md is what really happens', async () => {
  const markdown = readFileSync(document, 'utf8')
  const session = exchanges(markdown)
  expect(session.length).toBeGreaterThan(20)
  const cwd = join(work, 'project')
  await mkdir(cwd)
  const outputs = runSession(
    session.map(({ command }) => command),
    { cwd, env },
  ).map(withoutDigests)
  if (process.env.UPDATE_DOCS === '1') writeFileSync(document, withOutputs(markdown, outputs))
  else expect(session.map(({ command }, index) => ({ command, output: outputs[index] }))).toEqual(session)
}, 300_000)
