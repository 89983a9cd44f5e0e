// Asks tbuild and the docker of TBUILD_PEER the same questions about Dockerfiles (--call=check, outline, targets) and compares the answers; not part of the tests.
//   TBUILD_PEER=docker node scripts/fuzz-questions.mjs [--seed N] [--count N] [--kind lines|mutations] [--calls check,outline] [FILE...]
// Without FILEs they are made: `lines` of random words, heredocs, flags and comments, `mutations` of the Dockerfiles of samples/, test/corpus and --from FOLDER.
// TBUILD_PEER_IMAGE is an image that both find (default: busybox); it stands for every base.
import { spawn } from 'node:child_process'
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import { parseArgs } from 'node:util'
import { load, root } from './differential-support.mjs'
import { mutatedDockerfile, randomLines } from './fuzz-mutations.mjs'

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    kind: { type: 'string', default: 'lines' },
    seed: { type: 'string', default: '1' },
    count: { type: 'string', default: '100' },
    calls: { type: 'string', default: 'check,outline,targets' },
    from: { type: 'string', multiple: true, default: [] },
  },
})
const [program, ...before] = (process.env.TBUILD_PEER ?? '').split(' ')
const image = process.env.TBUILD_PEER_IMAGE ?? 'busybox'
if (!program) throw new Error('set TBUILD_PEER to a docker command')

/** Bases of others are the one image that is there; stages, scratch and what is no name stay. */
export function withKnownBase(text) {
  const stages = new Set([...text.matchAll(/^\s*FROM\s.*\sAS\s+(\S+)/gim)].map(([, name]) => name.toLowerCase()))
  const known = (name) => name === 'scratch' || stages.has(name.toLowerCase()) || !/^[a-z0-9][a-z0-9./_-]*(:[\w.-]+)?$/.test(name)
  const swap = (all, start, name) => (known(name) ? all : start + image)
  return text
    .replace(/^(\s*FROM(?:\s+--platform=\S+)?\s+)(\S+)/gim, swap)
    .replace(/(--from=|[,=]from=)([^\s,"]+)/g, (all, start, name) => (/^\d+$/.test(name) ? all : swap(all, start, name)))
}

function askDocker(question, folder) {
  const args = ['buildx', 'build', `--call=${question},format=json`, '--progress=plain', folder]
  return new Promise((resolve, reject) => {
    const child = spawn(program, [...before, ...args], { stdio: ['ignore', 'pipe', 'pipe'] })
    const [stdout, stderr] = [[], []]
    child.stdout.on('data', (data) => stdout.push(data))
    child.stderr.on('data', (data) => stderr.push(data))
    child.on('error', reject)
    child.on('close', () => {
      const [answer, messages] = [Buffer.concat(stdout).toString(), Buffer.concat(stderr).toString()]
      if (answer.startsWith('{')) resolve(JSON.parse(answer))
      else resolve({ refused: /ERROR: (?:failed to build: )?(?:failed to solve: )?([\s\S]*?)\n*$/.exec(messages)?.[1] ?? messages })
    })
  })
}

/** What a look-up says is the registry's; that docker gives some refusals no place, and that it knows no newer suggestions, is known. */
function settle(theirs, ours) {
  const plain = (line) =>
    line
      .split('\n')[0]
      .replace(/^(error \S+: |refused: ).*(?:failed to resolve source metadata|failed to do request|: pull: |not found$).*/, '$1a look-up')
      .replace(/ \(did you mean.*/, '')
      .replace('failed to run Build function: ', '')
  const [expected, got] = [theirs, ours].map((lines) => lines.map(plain).sort())
  const messages = new Set(expected.filter((line) => line.startsWith('error -: ')).map((line) => line.slice('error -: '.length)))
  const unplaced = (line) => (messages.has(line.replace(/^error \S+: /, '')) ? line.replace(/^error \S+: /, 'error -: ') : line)
  return [expected, got.map(unplaced).sort()]
}

function corpus() {
  const folders = [join(root, 'samples'), join(root, 'test/corpus'), ...values.from]
  const files = folders.flatMap((folder) => readdirSync(folder, { recursive: true }).map((name) => join(folder, name)))
  return files
    .sort()
    .filter((file) => /^Dockerfile|\.dockerfile$/i.test(basename(file)))
    .map((file) => readFileSync(file, 'utf8'))
}

function* cases() {
  for (const file of positionals) yield { name: file, text: readFileSync(file, 'utf8') }
  if (positionals.length > 0) return
  const texts = values.kind === 'mutations' ? corpus() : []
  const first = Number(values.seed)
  for (let seed = first; seed < first + Number(values.count); seed++) {
    yield { name: `seed ${seed}`, text: values.kind === 'mutations' ? mutatedDockerfile(seed, texts) : randomLines(seed) }
  }
}

const work = mkdtempSync(join(tmpdir(), 'tbuild-questions-'))
try {
  // Where the bundle looks for the native parts.
  writeFileSync(join(work, 'package.json'), '{}')
  symlinkSync(join(root, 'build'), join(work, 'build'))
  const { askTbuild, replyLines } = await load('questions', work)
  let asked = 0
  let different = 0
  for (const { name, text } of cases()) {
    const folder = join(work, 'case')
    rmSync(folder, { recursive: true, force: true })
    mkdirSync(folder)
    writeFileSync(join(folder, 'Dockerfile'), withKnownBase(text))
    for (const question of values.calls.split(',')) {
      asked += 1
      const [theirs, ours] = await Promise.all([
        askDocker(question, folder),
        askTbuild(question, { context: folder, root: join(work, 'store') }).catch((error) => ({ refused: `BUG ${error.stack}` })),
      ])
      const [expected, got] = settle(replyLines(theirs), replyLines(ours))
      if (JSON.stringify(expected) === JSON.stringify(got)) continue
      different += 1
      const lines = [
        ...expected.filter((line) => !got.includes(line)).map((line) => `  - ${line}`),
        ...got.filter((line) => !expected.includes(line)).map((line) => `  + ${line}`),
      ]
      console.log(`${name} ${question}\n${withKnownBase(text).slice(0, 3000)}\n${lines.join('\n')}\n`)
    }
  }
  console.log(`${asked} asked, ${different} different`)
  process.exitCode = different === 0 ? 0 : 1
} finally {
  rmSync(work, { recursive: true, force: true })
}
