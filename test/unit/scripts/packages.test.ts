import { spawnSync } from 'node:child_process'
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { testWith } from '../../support/needs.ts'

const script = join(import.meta.dirname, '../../../scripts/packages.mjs')

let work: string
beforeEach(() => {
  work = mkdtempSync(join(tmpdir(), 'tbuild-packages-'))
})
afterEach(() => rmSync(work, { recursive: true }))

/** Lets `call` install `one` where packages of others are half installed: what apt was asked to do, and what was said. */
function install(call: string) {
  const asked = join(work, 'asked')
  const apt = `#!/bin/sh
echo "$*" >> ${asked}
case "$*" in *--fix-broken*) touch ${work}/whole ;; esac
[ -e ${work}/whole ] && exit 0
echo "E: Unmet dependencies. Try 'apt --fix-broken install' with no packages (or specify a solution)." >&2
exit 100
`
  writeFileSync(join(work, 'apt-get'), apt, { mode: 0o755 })
  const code = `const packages = await import(${JSON.stringify(script)}); const present = () => process.argv[2] === 'x'; packages.${call}`
  const env = { ...process.env, PATH: `${work}:${process.env.PATH}` }
  const { status, stderr } = spawnSync(process.execPath, ['--input-type=module', '-e', code, 'work'], { encoding: 'utf8', env })
  return { status, stderr, asked: readFileSync(asked, 'utf8') }
}

const testApt = testWith(process.getuid?.() === 0 && existsSync('/usr/bin/apt-get'), 'root and apt')

testApt('an installation touches no packages but its own: what would mend others is said', () => {
  for (const call of ["installPackages(['one'], present)", "needPackages(['one'], present)"]) {
    const { asked, stderr } = install(call)
    expect(asked).not.toContain('--fix-broken')
    expect(stderr).toContain('\nPackages of this machine are half installed. Next: apt-get install --fix-broken, then this again\n')
  }
})

testApt('the tests go on where an installation was interrupted', () => {
  const { asked } = install("installPackages(['one'], present, { mend: true })")
  expect(asked.trim().split('\n').slice(-2)).toEqual([
    expect.stringMatching(/ install --fix-broken$/),
    expect.stringMatching(/ install --no-install-recommends one$/),
  ])
})
