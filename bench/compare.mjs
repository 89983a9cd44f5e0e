// Measures tbuild against docker in one run, alternating, and prints medians and ratios.
//   TBUILD_PEER=docker TBUILD_PEER_BASE=debian:bookworm node bench/compare.mjs [cached] [runs] [copy] [pull] [export]
// The base must be an image that both can pull (plain HTTP registries on loopback are fine); `pull` pushes bases made of it to the same registry.
import { spawnSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { performance } from 'node:perf_hooks'
import { fileURLToPath } from 'node:url'

const root = join(dirname(fileURLToPath(import.meta.url)), '..')
const BASE = process.env.TBUILD_PEER_BASE ?? 'debian:bookworm'
const ROUNDS = Number(process.env.ROUNDS ?? 3)
if (!process.env.TBUILD_PEER) {
  console.error('set TBUILD_PEER to a docker command and TBUILD_PEER_BASE to an image of a registry')
  process.exit(2)
}
const [peer, ...peerArgs] = process.env.TBUILD_PEER.split(' ')
const work = mkdtempSync(join(tmpdir(), 'tbuild-bench-'))
let store = join(work, 'store')
// A setting of this machine that costs every node start time, for both sides' sake.
const { NODE_EXTRA_CA_CERTS: _, ...env } = process.env

function timed(command, args) {
  const start = performance.now()
  const { status, stderr } = spawnSync(command, args, { env, encoding: 'utf8', maxBuffer: 1 << 28 })
  if (status !== 0) throw new Error(`${command} ${args.join(' ')}\n${stderr}`)
  return (performance.now() - start) / 1000
}

const builders = {
  tbuild: (context, ...args) =>
    timed(process.execPath, [
      join(root, 'bin/tbuild.js'),
      '--root',
      store,
      '--progress',
      'plain',
      '--network',
      'none',
      '-t',
      'bench',
      ...args,
      context,
    ]),
  docker: (context, ...args) =>
    timed(peer, [...peerArgs, 'build', '--progress', 'plain', '--network', 'none', '-t', 'tbuild-bench', ...args, context]),
}

const median = (values) => [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)]

/** Runs `once(build, round)` for both in turn; the order changes each round. */
function measure(name, once, { prepare = () => {}, rounds = ROUNDS } = {}) {
  const times = { tbuild: [], docker: [] }
  for (let round = 0; round < rounds; round += 1) {
    for (const side of round % 2 === 0 ? ['tbuild', 'docker'] : ['docker', 'tbuild']) {
      prepare(side, round)
      times[side].push(once(builders[side], round, side))
    }
  }
  const [ours, theirs] = [median(times.tbuild), median(times.docker)]
  console.log(
    `${name.padEnd(44)} ${ours.toFixed(2).padStart(8)} ${theirs.toFixed(2).padStart(8)} ${(ours / theirs).toFixed(2).padStart(7)}`,
  )
}

function context(name, dockerfile) {
  const folder = join(work, name)
  mkdirSync(folder, { recursive: true })
  writeFileSync(join(folder, 'Dockerfile'), dockerfile)
  return folder
}

const benches = {
  cached() {
    const steps = Array.from({ length: 5 }, (_, index) => `RUN echo ${index} > /r${index}\nCOPY f${index} /c/\n`).join('')
    const folder = context('cached', `FROM ${BASE}\n${steps}`)
    for (let index = 0; index < 5; index += 1) writeFileSync(join(folder, `f${index}`), `${index}`)
    for (const build of Object.values(builders)) build(folder)
    measure('ten cached steps, whole process', (build) => build(folder), { rounds: ROUNDS * 3 })
  },
  runs() {
    const folder = context('runs', `FROM ${BASE}\n${Array.from({ length: 30 }, (_, index) => `RUN echo ${index} > /r${index}\n`).join('')}`)
    for (const build of Object.values(builders)) build(folder)
    measure('thirty RUN steps, --no-cache', (build) => build(folder, '--no-cache'))
  },
  copy() {
    const folder = context('copy', 'FROM scratch\nCOPY files /files\n')
    for (let index = 0; index < 20_000; index += 1) {
      const sub = join(folder, 'files', String(index % 100))
      if (index < 100) mkdirSync(sub, { recursive: true })
      writeFileSync(join(sub, `f${index}`), `file ${index}\n`.repeat(1 + (index % 50)))
    }
    measure('COPY of 20,000 files, --no-cache', (build) => build(folder, '--no-cache'))
    measure('the same, nothing changed', (build) => build(folder))
    measure('the same, one file changed', (build) => build(folder), {
      prepare: (side, round) => writeFileSync(join(folder, 'files/7/f7'), `${side} ${round} ${Math.random()}`),
    })
  },
  pull() {
    // A base of one layer that neither side has seen, in the registry of BASE: nobody's cache needs to be emptied.
    const registry = BASE.split('/')[0]
    const name = (round) => `${registry}/tbuild-bench/base:${process.pid}-${round}`
    for (let round = 0; round < ROUNDS; round += 1) {
      const folder = context(`base-${round}`, `FROM ${BASE} AS b\nRUN echo ${name(round)} > /stamp\nFROM scratch\nCOPY --from=b / /\n`)
      builders.tbuild(folder, '-o', `type=registry,name=${name(round)}`)
      context(`pull-${round}`, `FROM ${name(round)}\nRUN true\n`)
    }
    measure('pull and one RUN, base never seen', (build, round) => build(join(work, `pull-${round}`)), {
      // A new store, and the old one not removed yet: for half a minute ext4 looks at every inode that was freed before it takes a new one.
      prepare(_side, round) {
        store = join(work, `cold-${round}`)
      },
    })
  },
  export() {
    const folder = context('export', `FROM ${BASE}\nRUN head -c 600000000 /dev/urandom > /big\n`)
    measure('RUN that writes 600 MB, docker archive', (build, _round, side) => {
      const archive = join(work, 'image.tar')
      if (side === 'tbuild') return build(folder, '--no-cache', '-o', `type=docker,dest=${archive}`)
      return build(folder, '--no-cache') + timed(peer, [...peerArgs, 'save', '-o', archive, 'tbuild-bench'])
    })
  },
}

const names = process.argv.slice(2)
const unknown = names.filter((name) => !(name in benches))
try {
  if (unknown.length > 0) throw new Error(`unknown: ${unknown.join(' ')}; there are ${Object.keys(benches).join(', ')}`)
  console.log(`${'seconds, median'.padEnd(44)} ${'tbuild'.padStart(8)} ${'docker'.padStart(8)} ${'ratio'.padStart(7)}`)
  for (const name of names.length > 0 ? names : Object.keys(benches)) benches[name]()
} finally {
  rmSync(work, { recursive: true, force: true })
}
