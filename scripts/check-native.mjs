// `npm run check-native`: the C under the compiler's analyzer, then tests of each part under the sanitizers of addresses and undefined behaviour. Needs gcc, and
// root for the runner. `npm run check-native -- runner|addon [ARGUMENTS]` checks that part; arguments go to jest instead of the usual selection.
import { execFileSync, spawnSync } from 'node:child_process'
import { readdirSync, readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { addonHeaders, SANITIZER_LOG, sourcesOf } from './native.mjs'

const root = join(import.meta.dirname, '..')
const build = join(root, 'build')
const compiler = process.env.CC ?? 'gcc'

/** What exercises each part. Both are never sanitized at once: Node needs the sanitizer's library before all others, programs in a sandbox have none. */
const PARTS = {
  addon: {
    tests: [
      '--selectProjects',
      'unit',
      'suites',
      'hostile',
      '--testPathPatterns',
      'unit/(base|tree|store)/',
      'unit/tar/(gzip|zstd)',
      'unit/layers/layer-tar',
      'suites/export\\.',
      '/(blob-store|snapshotter|tree-view)\\.',
      'hostile/tree/',
    ],
    environment: () => ({
      LD_PRELOAD: execFileSync(compiler, ['-print-file-name=libasan.so'], { encoding: 'utf8' }).trim(),
      // What V8 keeps to its end is no leak of ours.
      ASAN_OPTIONS: 'detect_leaks=0:abort_on_error=1',
      UBSAN_OPTIONS: 'print_stacktrace=1:abort_on_error=1',
    }),
  },
  runner: {
    tests: ['--selectProjects', 'suites', 'hostile', 'e2e', '--testPathPatterns', '/sandbox(-plan|-rootless)?\\.'],
    environment: () => ({}),
  },
}

/** Shadow memory makes each start of a program slow. */
const PATIENCE = '--testTimeout=600000'

function analyze() {
  // Not -fsyntax-only, which ends before the analyzer begins. What it sees differs by how much was optimized away.
  const flags = ['-std=gnu11', '-fPIC', '-fanalyzer', '-Werror', '-c', '-o', '/dev/null', `-I${addonHeaders()}`]
  // What a call hands to a thread is released by a function of its own through a pointer, which the analyzer does not follow: it takes each for a leak.
  flags.push('-Wno-analyzer-malloc-leak')
  const files = Object.keys(PARTS).flatMap(sourcesOf)
  for (const file of files) for (const level of ['-O0', '-O2']) execFileSync(compiler, [...flags, level, file], { stdio: 'inherit' })
  console.log(`analyzed ${files.length} files`)
}

const compileNative = (environment) =>
  execFileSync(process.execPath, [join(root, 'scripts/native.mjs')], { stdio: 'inherit', env: environment })

/** Prints and removes what was found by processes that nobody listens to. */
function takeReports() {
  const reports = readdirSync(build).filter((name) => name.startsWith(`${SANITIZER_LOG}.`))
  for (const name of reports) {
    console.error(readFileSync(join(build, name), 'utf8'))
    rmSync(join(build, name))
  }
  return reports.length
}

/** True when all went well. */
function sanitize(part, given) {
  const { tests, environment } = PARTS[part]
  const sanitized = { ...process.env, TBUILD_SANITIZE: part }
  console.log(`${part} under the sanitizers`)
  compileNative(sanitized)
  const args = [join(root, 'scripts/test.mjs'), PATIENCE, ...(given.length > 0 ? given : tests)]
  const { status } = spawnSync(process.execPath, args, { stdio: 'inherit', env: { ...sanitized, ...environment() } })
  return takeReports() === 0 && status === 0
}

const [part, ...given] = process.argv.slice(2)
analyze()
try {
  const parts = part === undefined ? Object.keys(PARTS) : [part]
  if (!parts.map((name) => sanitize(name, given)).every(Boolean)) process.exitCode = 1
} finally {
  compileNative({ ...process.env, TBUILD_SANITIZE: '' })
}
