import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from '@jest/globals'

interface Entry {
  readonly hasInstallScript?: boolean
  readonly os?: readonly string[]
  readonly version?: string
  readonly resolved?: string
  readonly optionalDependencies?: Readonly<Record<string, string>>
}

const read = (name: string) => JSON.parse(readFileSync(join(import.meta.dirname, '../..', name), 'utf8'))
const lock = read('package-lock.json') as { packages: Record<string, Entry> }

/** npm leaves out what the registry at hand does not have (npm/cli#4828), and `npm ci` then refuses the lock file everywhere. */
test('every optional package of every platform is locked', () => {
  const missing = Object.entries(lock.packages).flatMap(([at, { optionalDependencies }]) =>
    Object.keys(optionalDependencies ?? {}).filter(
      (name) => lock.packages[`node_modules/${name}`] === undefined && lock.packages[`${at}/node_modules/${name}`] === undefined,
    ),
  )
  expect(missing).toEqual([])
})

test('no entry names the registry of one machine', () => {
  const resolved = Object.values(lock.packages).flatMap((entry) => entry.resolved ?? [])
  expect(resolved.filter((url) => !url.startsWith('https://registry.npmjs.org/'))).toEqual([])
})

test('no install script of another package waits for a decision, of which npm would warn', () => {
  const { allowScripts } = read('package.json') as { allowScripts: Record<string, boolean> }
  const scripted = Object.entries(lock.packages).flatMap(([at, { hasInstallScript, os }]) =>
    at !== '' && hasInstallScript === true && (os === undefined || os.includes('linux')) ? at.replace(/^.*node_modules\//, '') : [],
  )
  expect(scripted.sort()).toEqual(Object.keys(allowScripts).sort())
})
