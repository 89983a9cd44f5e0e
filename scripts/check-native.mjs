// `npm run check-native`: the C of runner/ and addon/ under the compiler's analyzer, then the tests that use it under the sanitizers of addresses and undefined
// behaviour. Arguments go to jest instead of the usual selection. Needs gcc.
import { execFileSync, spawnSync } from 'node:child_process'
import { join } from 'node:path'
import { addonHeaders, sourcesOf } from './native.mjs'

const root = join(import.meta.dirname, '..')
const compiler = process.env.CC ?? 'gcc'
const USUAL = ['--selectProjects', 'unit', 'suites', 'hostile', '--testPathPatterns', '/(tree|store|sandbox|snapshotter|tar|export|limits)']

const files = [...sourcesOf('runner'), ...sourcesOf('addon')]
const analyzer = ['-std=gnu11', '-O2', '-fPIC', '-fanalyzer', '-Werror', '-fsyntax-only', `-I${addonHeaders()}`]
for (const file of files) execFileSync(compiler, [...analyzer, file], { stdio: 'inherit' })
console.log(`analyzed ${files.length} files`)

const library = execFileSync(compiler, ['-print-file-name=libasan.so'], { encoding: 'utf8' }).trim()
const native = (environment) => execFileSync(process.execPath, [join(root, 'scripts/native.mjs')], { stdio: 'inherit', env: environment })
const sanitized = { ...process.env, TBUILD_SANITIZE: '1' }
const given = process.argv.slice(2)
try {
  native(sanitized)
  const { status } = spawnSync(process.execPath, [join(root, 'scripts/test.mjs'), ...(given.length > 0 ? given : USUAL)], {
    stdio: 'inherit',
    // Node itself is not sanitized: the library must be there first, and what V8 keeps to its end is no leak of ours.
    env: { ...sanitized, LD_PRELOAD: library, ASAN_OPTIONS: 'detect_leaks=0:abort_on_error=1', UBSAN_OPTIONS: 'print_stacktrace=1' },
  })
  process.exitCode = status ?? 1
} finally {
  native(process.env)
}
