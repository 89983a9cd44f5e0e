import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from '@jest/globals'
import { processSettings } from '../../../src/values/process-settings.ts'

const src = join(import.meta.dirname, '../../../src')

/** Who acts on a setting besides the command line's parsers: what it is and whether it is keyed, what the sandbox does, and BuildKit's form of the key. */
const ACTORS = ['cache/buildkit/exec-op.ts', 'sandbox/plan.ts', 'values/process-settings.ts']

test('an option of RUN touches three files besides its parser: all others carry the settings by reference', () => {
  const members = new RegExp(`\\b(${Object.keys(processSettings({})).join('|')})\\b`)
  const files = readdirSync(src, { recursive: true, encoding: 'utf8' }).filter((name) => name.endsWith('.ts') && !name.startsWith('cli/'))
  const code = (name: string) => readFileSync(join(src, name), 'utf8').replace(/\/\*[\s\S]*?\*\/|\/\/.*/g, '')
  expect(files.filter((name) => members.test(code(name))).sort()).toEqual(ACTORS)
})

test('what is not given is what holds without it', () => {
  expect(processSettings({ shmSize: 5 })).toEqual({ extraHosts: [], ulimits: [], shmSize: 5, cgroupParent: undefined })
})
