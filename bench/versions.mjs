// Measures this checkout against another one, in turns, and prints medians of seconds, processors used and MiB of the largest process, with ratios. Needs root or user namespaces, busybox-static and python3.
//   node bench/versions.mjs OTHER_CHECKOUT [cached] [runs] [copy] [big-run] [large-layers] [small-layers] [waiting-stages] [busy-stages]
// Both checkouts must be set up (node scripts/setup.mjs). Other load on the machine shows as a ratio near 1: look at the processors, too.
import { spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join, resolve } from 'node:path'
import { performance } from 'node:perf_hooks'
import { fileURLToPath } from 'node:url'

const here = join(dirname(fileURLToPath(import.meta.url)), '..')
const [other, ...names] = process.argv.slice(2)
const ROUNDS = Number(process.env.ROUNDS ?? 3)
if (other === undefined) {
  console.error('usage: node bench/versions.mjs OTHER_CHECKOUT [NAME...]')
  process.exit(2)
}
const sides = { before: resolve(other), after: here }
const work = mkdtempSync(join(tmpdir(), 'tbuild-versions-'))
const busybox = spawnSync(process.execPath, [join(here, 'scripts/busybox-layout.mjs')], { encoding: 'utf8' }).stdout.trim()

/** Runs a command and says last what it used: seconds of processors, and KiB of the largest of its processes. */
const USAGE = `
import os, resource, sys
status = os.waitstatus_to_exitcode(os.waitpid(os.posix_spawnp(sys.argv[1], sys.argv[1:], os.environ), 0)[1])
used = resource.getrusage(resource.RUSAGE_CHILDREN)
print(used.ru_utime + used.ru_stime, used.ru_maxrss, file=sys.stderr)
sys.exit(status)`
// A setting that costs every start of Node time, on both sides.
const { NODE_EXTRA_CA_CERTS: _, ...env } = process.env

/** Seconds of the clock, processors, and MiB of the largest process. */
function timed(checkout, args) {
  const command = [join(checkout, 'bin/tbuild.js'), '--progress', 'plain', '--build-context', `busybox=oci-layout://${busybox}`, ...args]
  const start = performance.now()
  const { status, stderr } = spawnSync('python3', ['-c', USAGE, process.execPath, ...command], {
    env,
    encoding: 'utf8',
    maxBuffer: 1 << 28,
  })
  const elapsed = (performance.now() - start) / 1000
  if (status !== 0) throw new Error(`${args.join(' ')} failed:\n${stderr}`)
  const [seconds, kibibytes] = stderr.trim().split('\n').at(-1).split(' ').map(Number)
  return { elapsed, processors: seconds / elapsed, memory: kibibytes / 1024 }
}

const median = (values) => [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)]

/** `once(checkout, round)` for both in turn; the order changes each round. */
function measure(name, once, rounds = ROUNDS) {
  const found = { before: [], after: [] }
  for (let round = 0; round < rounds; round += 1) {
    for (const side of round % 2 === 0 ? ['before', 'after'] : ['after', 'before']) found[side].push(once(sides[side], `${side}${round}`))
  }
  const of = (side, what) => median(found[side].map((one) => one[what]))
  const pair = (what) => [of('before', what), of('after', what), of('after', what) / of('before', what)]
  const columns = [...pair('elapsed'), of('before', 'processors'), of('after', 'processors'), ...pair('memory')]
  console.log(`${name.padEnd(38)} ${columns.map((value) => value.toFixed(2).padStart(9)).join('')}`)
}

function context(name, dockerfile) {
  const folder = join(work, name)
  mkdirSync(folder, { recursive: true })
  writeFileSync(join(folder, 'Dockerfile'), dockerfile)
  return folder
}

/** Text that deflate makes about a third of. */
function text(bytes, seed) {
  const words = Array.from({ length: 4096 }, (_, index) =>
    createHash('md5')
      .update(`${seed} ${index}`)
      .digest('hex')
      .slice(0, 3 + (index % 9)),
  )
  let state = seed + 1
  const parts = []
  for (let size = 0; size < bytes; ) {
    state = (Math.imul(state, 1103515245) + 12345) >>> 0
    const word = words[state >>> 20]
    parts.push(word)
    size += word.length + 1
  }
  return parts.join(' ').slice(0, bytes)
}

/** An export of layers that are in the store and were never packed. */
function layers(name, count, bytes) {
  const copies = Array.from({ length: count }, (_, index) => `COPY f${index} /\n`).join('')
  const folder = context(name, `FROM scratch\n${copies}`)
  for (let index = 0; index < count; index += 1) writeFileSync(join(folder, `f${index}`), text(bytes, index))
  const store = join(work, `${name}-store`)
  timed(here, ['--root', store, folder])
  const archives = {}
  measure(`export of ${count} layers of ${bytes / 1e6} MB`, (checkout, round) => {
    const own = join(work, `${name}-${round}`)
    // With their times, which are in the layers.
    spawnSync('cp', ['-a', store, own])
    const archive = join(work, 'image.tar')
    const result = timed(checkout, ['--root', own, '-o', `type=oci,dest=${archive}`, folder])
    archives[spawnSync('sha256sum', [archive], { encoding: 'utf8' }).stdout.split(' ')[0]] = true
    rmSync(own, { recursive: true })
    return result
  })
  if (Object.keys(archives).length !== 1) throw new Error('the archives differ')
}

/** Independent stages, without a cache. */
function stages(name, count, command) {
  const all = Array.from({ length: count }, (_, index) => `FROM busybox AS s${index}\nRUN ${command}; echo ${index} > /o\n`).join('')
  const copies = Array.from({ length: count }, (_, index) => `COPY --from=s${index} /o /p${index}\n`).join('')
  const folder = context(name, `${all}FROM scratch\n${copies}`)
  measure(`${count} stages: ${command.slice(0, 28)}`, (checkout) => timed(checkout, ['--root', join(work, 'stages'), '--no-cache', folder]))
}

/** Short ones are measured more often: what a start costs differs from one to the next. */
const SHORT = ROUNDS * 5

/** Each side has a store of its own, made by itself. */
function ownStores(name, folder) {
  const stores = { [sides.before]: join(work, `${name}-before`), [sides.after]: join(work, `${name}-after`) }
  for (const [checkout, store] of Object.entries(stores)) timed(checkout, ['--root', store, folder])
  return (checkout, ...args) => timed(checkout, ['--root', stores[checkout], ...args, folder])
}

function cached() {
  const steps = Array.from({ length: 5 }, (_, index) => `RUN echo ${index} > /r${index}\nCOPY f${index} /c/\n`).join('')
  const folder = context('cached', `FROM busybox\n${steps}`)
  for (let index = 0; index < 5; index += 1) writeFileSync(join(folder, `f${index}`), `${index}`)
  const build = ownStores('cached', folder)
  measure('ten cached steps', (checkout) => build(checkout), SHORT)
}

function runs() {
  const folder = context('runs', `FROM busybox\n${Array.from({ length: 30 }, (_, index) => `RUN echo ${index} > /r${index}\n`).join('')}`)
  const build = ownStores('runs', folder)
  measure('thirty RUN steps', (checkout) => build(checkout, '--no-cache'))
}

function copy() {
  const folder = context('copy', 'FROM scratch\nCOPY files /files\n')
  for (let index = 0; index < 20_000; index += 1) {
    const sub = join(folder, 'files', String(index % 100))
    if (index < 100) mkdirSync(sub, { recursive: true })
    writeFileSync(join(sub, `f${index}`), `file ${index}\n`.repeat(1 + (index % 50)))
  }
  const build = ownStores('copy', folder)
  measure('COPY of 20,000 files', (checkout) => build(checkout, '--no-cache'))
  measure('the same, nothing changed', (checkout) => build(checkout), SHORT)
  measure('the same, one file changed', (checkout, round) => {
    writeFileSync(join(folder, 'files/7/f7'), `${round} ${Math.random()}`)
    return build(checkout)
  })
}

function bigRun() {
  const folder = context('big', 'FROM busybox\nRUN head -c 300000000 /dev/urandom > /big\n')
  const build = ownStores('big', folder)
  measure('RUN that writes 300 MB, OCI archive', (checkout) =>
    build(checkout, '--no-cache', '-o', `type=oci,dest=${join(work, 'big.tar')}`),
  )
}

const benches = {
  cached,
  runs,
  copy,
  'big-run': bigRun,
  'large-layers': () => layers('large', 4, 80_000_000),
  'small-layers': () => layers('small', 120, 400_000),
  'waiting-stages': () => stages('waiting', 8, 'sleep 3'),
  'busy-stages': () => stages('busy', 6, 'i=0; while [ $i -lt 400000 ]; do i=$((i+1)); done'),
}

try {
  const unknown = names.filter((name) => !(name in benches))
  if (unknown.length > 0) throw new Error(`unknown: ${unknown.join(', ')}; there are ${Object.keys(benches).join(', ')}`)
  const columns = ['before', 'after', 'ratio', 'cpu', 'cpu', 'MiB', 'MiB', 'ratio']
  console.log(`${`medians of ${ROUNDS} or more`.padEnd(38)} ${columns.map((text) => text.padStart(9)).join('')}`)
  for (const name of names.length > 0 ? names : Object.keys(benches)) benches[name]()
} finally {
  rmSync(work, { recursive: true, force: true })
}
