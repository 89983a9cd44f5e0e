import { spawnSync } from 'node:child_process'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals'
import { root } from '../support/cli.ts'
import { fillStore } from '../support/full-store.ts'
import { openWorkspace, type Workspace } from '../support/workspace.ts'

/** The command with so much memory for what V8 keeps, in MiB: it ends by SIGABRT where it needs more. */
function within(mebibytes: number, args: readonly string[]) {
  const { status, signal, stderr } = spawnSync(
    process.execPath,
    [`--max-old-space-size=${mebibytes}`, join(root, 'bin/tbuild.js'), ...args],
    {
      encoding: 'utf8',
      maxBuffer: 1 << 28,
      env: { ...process.env, NODE_EXTRA_CA_CERTS: undefined },
    },
  )
  return { status, signal, stderr: stderr.slice(0, 2000) }
}

const RIGHT = { status: 0, signal: null, stderr: '' }

let space: Workspace
let folder: string
beforeAll(() => {
  space = openWorkspace()
  folder = space.folder
}, 300_000)
afterAll(() => space.remove())

describe('a store of many records with 120 MB of what they were keyed by', () => {
  let store: string
  beforeAll(async () => {
    store = join(folder, 'full')
    await fillStore(store, { records: 3000, parts: 40_000, chain: 10 })
  }, 300_000)

  test.each([
    ['du'],
    ['du', '--by', 'line'],
    ['prune', '--dry-run', '--keep-storage', '100GB'],
    ['verify-store', '--check-only'],
    // Last: it empties the store.
    ['prune', '--all'],
  ])(
    '%s %s keeps little of each',
    (...args) => {
      expect(within(48, [...args, '--root', store])).toEqual(RIGHT)
    },
    300_000,
  )
})
