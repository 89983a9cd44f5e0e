// Builds the cases of test/corpus/buildkit-cache with docker and with tbuild, each from the cache that the other left, every time on a cold store.
//   node scripts/cache-peer.mjs compare [CASE...]   prints what was not taken from the other's cache, or is not the same image
//   node scripts/cache-peer.mjs fuzz [KIND [SEED [COUNT]]]   the same for random cases (files, layers, language), in directories with mode=max
//   node scripts/cache-peer.mjs record [CASE...]    keeps docker's cache of each case for the tests: its metadata and small layers
// TBUILD_PEER is a docker command and TBUILD_PEER_DAEMON one that starts dockerd as root, with the containerd image store; cold stores are
// daemons of their own. TBUILD_PEER_REGISTRY (host:port, without TLS) adds caches of type registry and inline.
import { execFileSync, spawn, spawnSync } from 'node:child_process'
import { copyFileSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { busyboxLayout } from './busybox-layout.mjs'
import { load, root } from './differential-support.mjs'
import { randomCase } from './fuzz-case.mjs'
import { randomLanguageCase } from './fuzz-language.mjs'
import { randomLayersCase } from './fuzz-layers.mjs'

const [action, ...names] = process.argv.slice(2)
const { TBUILD_PEER, TBUILD_PEER_DAEMON, TBUILD_PEER_REGISTRY: registry } = process.env
if (!['compare', 'fuzz', 'record'].includes(action) || !TBUILD_PEER || !TBUILD_PEER_DAEMON) {
  console.error(
    'usage: TBUILD_PEER=docker TBUILD_PEER_DAEMON=dockerd node scripts/cache-peer.mjs compare|record [CASE...], or fuzz [KIND [SEED [COUNT]]]',
  )
  process.exit(2)
}
const work = mkdtempSync(join(tmpdir(), 'tbuild-cache-peer-'))
const layout = await busyboxLayout()
/** Larger layers are the base's: a build that finds everything fetches none. */
const SMALL = 64 * 1024
let stores = 0

/** A docker with nothing in its store; `close` ends it and removes the store. */
async function coldDocker() {
  const folder = mkdtempSync(join(work, 'docker-'))
  const socket = `unix://${join(folder, 'docker.sock')}`
  const [program, ...before] = TBUILD_PEER_DAEMON.split(' ')
  const where = ['--data-root', join(folder, 'data'), '--exec-root', join(folder, 'exec'), '--pidfile', join(folder, 'pid'), '-H', socket]
  const network = ['--iptables=false', '--ip6tables=false', '--bridge=none', ...(registry ? ['--insecure-registry', registry] : [])]
  const daemon = spawn(program, [...before, ...where, '--feature', 'containerd-snapshotter=true', ...network], {
    stdio: 'ignore',
    detached: true,
  })
  const docker = (...args) => {
    const [client, ...first] = TBUILD_PEER.split(' ')
    return spawnSync(client, [...first, '-H', socket, ...args], { encoding: 'utf8', maxBuffer: 1 << 28 })
  }
  for (let wait = 0; docker('info').status !== 0; wait += 1) {
    if (wait === 100) throw new Error('the cold docker does not start')
    await sleep(100)
  }
  const close = async () => {
    const gone = new Promise((resolve) => daemon.once('exit', resolve))
    process.kill(Number(readFileSync(join(folder, 'pid'), 'utf8')))
    await gone
    spawnSync('rm', ['-rf', folder])
  }
  return { docker, close }
}

/** The steps that ran and those that were cached, and the image's config. */
function dockerBuild(docker, context, args) {
  const image = join(work, `image-${++stores}.tar`)
  const common = ['--provenance=false', '--network', 'host', '--build-context', `busybox=oci-layout://${layout}`, '--progress', 'rawjson']
  const { status, stderr } = docker('build', ...common, '-o', `type=oci,dest=${image}`, ...args, context)
  if (status !== 0) throw new Error(`docker: ${stderr.slice(-2000)}`)
  const vertexes = new Map()
  for (const line of stderr.split('\n').filter((text) => text.startsWith('{'))) {
    for (const vertex of JSON.parse(line).vertexes ?? []) vertexes.set(vertex.digest, { ...vertexes.get(vertex.digest), ...vertex })
  }
  const steps = [...vertexes.values()].filter(({ name }) => isStep(name))
  return outcome(
    image,
    steps.filter(({ cached }) => cached !== true).map(({ name }) => name),
    steps.length,
  )
}

function tbuildBuild(context, args) {
  const image = join(work, `image-${++stores}.tar`)
  const store = join(work, `store-${stores}`)
  const common = ['--network', 'host', '--build-context', `busybox=oci-layout://${layout}`, '--root', store, '--progress', 'rawjson']
  const { status, stderr } = spawnSync(
    join(root, 'bin/tbuild.js'),
    ['build', ...common, '-o', `type=oci,dest=${image}`, ...args, context],
    { encoding: 'utf8', maxBuffer: 1 << 28 },
  )
  if (status !== 0) throw new Error(`tbuild: ${stderr.slice(-2000)}`)
  const events = stderr
    .split('\n')
    .filter((line) => line.startsWith('{'))
    .map((line) => JSON.parse(line))
  const warnings = events.filter(({ rule }) => /^Cache(Im|Ex)port$/.test(rule)).map(({ message }) => message)
  const steps = events.filter(({ type, name }) => type === 'vertex' && isStep(name))
  const ran = steps.filter(({ id }) => !events.some((event) => event.type === 'done' && event.id === id && event.cached))
  rmSync(store, { recursive: true, force: true })
  return outcome(image, [...ran.map(({ name }) => name), ...warnings], steps.length)
}

/** Of the Dockerfile, but for FROM, which makes nothing. */
function isStep(name) {
  return /^\[(?!internal|context)/.test(name) && !/\] FROM /.test(name)
}

function outcome(image, ran, steps) {
  const read = (name) => JSON.parse(execFileSync('tar', ['-xOf', image, name], { encoding: 'utf8', maxBuffer: 1 << 26 }))
  const blob = (digest) => read(`blobs/sha256/${digest.slice(7)}`)
  let document = read('index.json')
  while (document.manifests) document = blob(document.manifests[0].digest)
  const { rootfs, config, history } = blob(document.config.digest)
  // Times are those of the build that made a layer, and entries without one are of now.
  const entries = history.map(({ created: _created, ...entry }) => entry)
  return { ran, steps, image: JSON.stringify({ rootfs, config, history: entries }) }
}

/** Where a cache can be left, and how it is named on both sides. */
function places(name) {
  const folder = join(work, `cache-${++stores}`)
  const ref = `${registry}/tbuild-cache-peer/${name}-${process.pid}-${stores}`
  const local = (mode, extra = '') => ({
    label: `local, ${mode}${extra}`,
    to: [`--cache-to=type=local,dest=${folder}-${mode},mode=${mode}${extra}`],
    from: [`--cache-from=type=local,src=${folder}-${mode}`],
  })
  const remote = (mode) => ({
    label: `registry, ${mode}`,
    to: [`--cache-to=type=registry,ref=${ref}:${mode},mode=${mode}`],
    from: [`--cache-from=type=registry,ref=${ref}:${mode}`],
  })
  const inline = {
    label: 'inline',
    to: ['--cache-to=type=inline', '--output', `type=image,name=${ref}:inline,push=true`],
    from: [`--cache-from=type=registry,ref=${ref}:inline`],
  }
  return [local('max'), local('min'), local('max', ',image-manifest=false'), ...(registry ? [remote('max'), remote('min'), inline] : [])]
}

/** Builds with one, then from its cache with the other; what is wrong in lines. */
async function carry(label, first, second, to, from) {
  const made = await first(to)
  const taken = await second(from)
  return [
    ...taken.ran.map((step) => `  ${label}: not taken from the cache: ${step}`),
    ...(taken.image === made.image ? [] : [`  ${label}: another image\n    ${made.image}\n    ${taken.image}`]),
    ...(taken.steps === 0 ? [`  ${label}: no steps`] : []),
  ]
}

async function withDocker(context, args, extra) {
  const { docker, close } = await coldDocker()
  try {
    return dockerBuild(docker, context, [...args, ...extra])
  } finally {
    await close()
  }
}

async function compare(one, context, args) {
  const lines = []
  const peer = (extra) => withDocker(context, args, extra)
  const own = async (extra) => tbuildBuild(context, [...args, ...extra])
  for (const place of places(one.name)) lines.push(...(await carry(`docker to tbuild, ${place.label}`, peer, own, place.to, place.from)))
  for (const place of places(one.name)) lines.push(...(await carry(`tbuild to docker, ${place.label}`, own, peer, place.to, place.from)))
  lines.push(...(await partly(context, peer, own)))
  return lines
}

/** One more instruction: only that runs, on the other's cache. */
async function partly(context, peer, own) {
  const longer = join(work, `Dockerfile-${++stores}`)
  // Not in the context: a COPY of all of it would see the change.
  writeFileSync(longer, `${readFileSync(join(context, 'Dockerfile'), 'utf8').trimEnd()}\nUSER root\nRUN echo more > /more\n`)
  if (existsSync(join(context, '.dockerignore'))) copyFileSync(join(context, '.dockerignore'), `${longer}.dockerignore`)
  const lines = []
  for (const [label, first, second] of [
    ['docker to tbuild', peer, own],
    ['tbuild to docker', own, peer],
  ]) {
    const folder = join(work, `cache-${++stores}`)
    await first([`--cache-to=type=local,dest=${folder},mode=max`])
    const { ran } = await second([`--cache-from=type=local,src=${folder}`, '-f', longer])
    if (ran.length !== 1 || !/RUN echo more/.test(ran[0])) lines.push(`  ${label}, one more step: ran ${JSON.stringify(ran)}`)
  }
  return lines
}

const RANDOM = { files: randomCase, layers: randomLayersCase, language: randomLanguageCase }

/** Random Dockerfiles, which may be refused. */
async function fuzz(materialize, [kind = 'files', first = '1', count = '20']) {
  let wrong = 0
  for (let seed = Number(first); seed < Number(first) + Number(count); seed++) {
    const { setup, dockerfile } = RANDOM[kind](seed)
    const folder = join(work, `random-${seed}`)
    mkdirSync(folder)
    writeFileSync(join(folder, 'Dockerfile'), dockerfile)
    const context = materialize({ folder, setup, name: `${seed}`, rule: '' })
    const caches = [join(work, `cache-${++stores}`), join(work, `cache-${++stores}`)]
    const to = (at) => [`--cache-to=type=local,dest=${caches[at]},mode=max`]
    const from = (at) => [`--cache-from=type=local,src=${caches[at]}`]
    const own = async (extra) => tbuildBuild(context, extra)
    const peer = (extra) => withDocker(context, [], extra)
    try {
      const lines = [
        ...(await carry('docker to tbuild', peer, own, to(0), from(0))),
        ...(await carry('tbuild to docker', own, peer, to(1), from(1))),
      ]
      wrong += lines.length
      if (lines.length > 0) console.log([`${kind} ${seed}`, ...lines].join('\n'))
    } catch (error) {
      console.log(`${kind} ${seed}: refused: ${error.message.trim().split('\n').at(-1).slice(0, 200)}`)
    }
    for (const path of [context, ...caches]) rmSync(path, { recursive: true, force: true })
  }
  return wrong
}

async function record(one, context, args) {
  const folder = join(one.folder, 'recorded')
  const made = join(work, `record-${++stores}`)
  const { steps } = await withDocker(context, args, [`--cache-to=type=local,dest=${made},mode=max`])
  rmSync(folder, { recursive: true, force: true })
  for (const [name, from] of [
    ['cache', made],
    ['base', layout],
  ]) {
    mkdirSync(join(folder, name, 'blobs/sha256'), { recursive: true })
    for (const file of ['oci-layout', 'index.json']) copyFileSync(join(from, file), join(folder, name, file))
    for (const blob of readdirSync(join(from, 'blobs/sha256'))) {
      const path = join(from, 'blobs/sha256', blob)
      if (statSync(path).size <= SMALL) copyFileSync(path, join(folder, name, 'blobs/sha256', blob))
    }
  }
  console.log(`${one.name}: ${steps} steps`)
}

try {
  const { loadCases, materialize } = await load('differential-case', work)
  let wrong = action === 'fuzz' ? await fuzz(materialize, names) : 0
  for (const one of action === 'fuzz' ? [] : loadCases(join(root, 'test/corpus/buildkit-cache'))) {
    if (names.length > 0 && !names.includes(one.name)) continue
    const context = materialize(one)
    const args = (one.args ?? []).map((arg) => arg.replaceAll('{case}', context))
    if (action === 'record') await record(one, context, args)
    else {
      const lines = await compare(one, context, args)
      wrong += lines.length
      console.log([`${one.name}: ${lines.length === 0 ? 'taken both ways' : ''}`, ...lines].join('\n'))
    }
    if (existsSync(context)) rmSync(context, { recursive: true, force: true })
  }
  process.exitCode = wrong === 0 ? 0 : 1
} finally {
  spawnSync('rm', ['-rf', work])
}
