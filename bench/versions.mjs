// Measures this checkout against another one, in turns, and prints medians, ratios and processors used. Needs root or user namespaces, and busybox-static.
//   node bench/versions.mjs OTHER_CHECKOUT [large-layers] [small-layers] [waiting-stages] [busy-stages]
// Both checkouts must be set up (node scripts/setup.mjs). Other load on the machine shows as a ratio near 1: look at the processors, too.
import { spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { cpSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
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

/** Seconds, of the clock and of all processors. */
function timed(checkout, args) {
  const start = performance.now()
  const command = [join(checkout, 'bin/tbuild.js'), '--progress', 'plain', '--build-context', `busybox=oci-layout://${busybox}`, ...args]
  // Through a shell that waits, so that the times of children are ours.
  const { status, stdout, stderr } = spawnSync(
    'bash',
    ['-c', 'TIMEFORMAT="%U %S"; time "$@" >&2 2>/dev/null', 'bash', process.execPath, ...command],
    {
      encoding: 'utf8',
    },
  )
  const elapsed = (performance.now() - start) / 1000
  if (status !== 0) throw new Error(`${args.join(' ')} failed:\n${stdout}${stderr}`)
  const [user, system] = stderr.trim().split('\n').at(-1).split(' ').map(Number)
  return { elapsed, processors: (user + system) / elapsed }
}

const median = (values) => [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)]

/** `once(checkout, round)` for both in turn; the order changes each round. */
function measure(name, once) {
  const found = { before: [], after: [] }
  for (let round = 0; round < ROUNDS; round += 1) {
    for (const side of round % 2 === 0 ? ['before', 'after'] : ['after', 'before']) found[side].push(once(sides[side], `${side}${round}`))
  }
  const of = (side, what) => median(found[side].map((one) => one[what]))
  const [before, after] = [of('before', 'elapsed'), of('after', 'elapsed')]
  const columns = [before, after, after / before, of('before', 'processors'), of('after', 'processors')]
  console.log(`${name.padEnd(44)} ${columns.map((value) => value.toFixed(2).padStart(10)).join('')}`)
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
    cpSync(store, own, { recursive: true })
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

const benches = {
  'large-layers': () => layers('large', 4, 80_000_000),
  'small-layers': () => layers('small', 120, 400_000),
  'waiting-stages': () => stages('waiting', 8, 'sleep 3'),
  'busy-stages': () => stages('busy', 6, 'i=0; while [ $i -lt 400000 ]; do i=$((i+1)); done'),
}

try {
  const unknown = names.filter((name) => !(name in benches))
  if (unknown.length > 0) throw new Error(`unknown: ${unknown.join(', ')}; there are ${Object.keys(benches).join(', ')}`)
  const columns = ['before', 'after', 'ratio', 'cpu before', 'cpu after']
  console.log(`${`seconds, median of ${ROUNDS}`.padEnd(44)} ${columns.map((text) => text.padStart(10)).join('')}`)
  for (const name of names.length > 0 ? names : Object.keys(benches)) benches[name]()
} finally {
  rmSync(work, { recursive: true, force: true })
}
