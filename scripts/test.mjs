// `npm test`: all set-up that is missing, then jest. Arguments go to jest: `npm test -- --selectProjects unit`.
import { spawnSync } from 'node:child_process'
import { createRequire } from 'node:module'

await import('./setup.mjs')
const jest = createRequire(import.meta.url).resolve('jest/bin/jest')
const child = spawnSync(process.execPath, ['--experimental-vm-modules', '--no-warnings', jest, ...process.argv.slice(2)], {
  stdio: 'inherit',
})
process.exitCode = child.status ?? 1
