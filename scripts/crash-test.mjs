// `npm run crash-test`: the tests that CI runs on a sample, whole: a kill at every write of a build, a full disk 50 times, errors at hundreds of writes, 32
// builds at once. Half an hour. They run a copy of the built program, so that the working tree may change meanwhile.
import { spawnSync } from 'node:child_process'
import { cpSync, mkdtempSync, rmSync, symlinkSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = join(dirname(fileURLToPath(import.meta.url)), '..')
const copy = mkdtempSync(join(tmpdir(), 'tbuild-crash-test-'))
for (const name of ['bin', 'dist', 'build', 'package.json']) cpSync(join(root, name), join(copy, name), { recursive: true })
symlinkSync(join(root, 'node_modules'), join(copy, 'node_modules'))
try {
  const env = { ...process.env, TBUILD_CRASH_POINTS: 'all', TBUILD_BUILDS: '32', TBUILD_BIN: join(copy, 'bin/tbuild.js') }
  const args = [join(root, 'scripts/test.mjs'), '--selectProjects', 'e2e', '--', 'e2e/(crash|full-disk|concurrency)']
  process.exitCode = spawnSync(process.execPath, args, { stdio: 'inherit', env }).status ?? 1
} finally {
  rmSync(copy, { recursive: true, force: true })
}
