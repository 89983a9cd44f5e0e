// Builds random contexts and Dockerfiles with tbuild and with the docker of TBUILD_PEER and compares the images; not part of the tests.
//   TBUILD_PEER=docker node scripts/fuzz-differential.mjs [--kind files|layers|language|wildcards] [--members] [--seed N] [--count N] [--keep DIR]
// `--members` compares every member of every layer; it wants a docker with containerd's store, whose layers are BuildKit's own.
// A difference is printed with its seed; `--seed N --count 1` builds it again. Times of files are compared, too, but for those of the build itself.
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { busyboxLayout } from './busybox-layout.mjs'
import { difference, load, root } from './differential-support.mjs'
import { randomCase } from './fuzz-case.mjs'
import { randomLanguageCase } from './fuzz-language.mjs'
import { randomLayersCase } from './fuzz-layers.mjs'
import { randomWildcardsCase } from './fuzz-wildcards.mjs'

const { values } = parseArgs({
  options: {
    kind: { type: 'string', default: 'files' },
    members: { type: 'boolean', default: false },
    seed: { type: 'string', default: '1' },
    count: { type: 'string', default: '100' },
    keep: { type: 'string' },
  },
})
if (!process.env.TBUILD_PEER) throw new Error('set TBUILD_PEER to a docker command')
const makeCase = { files: randomCase, layers: randomLayersCase, language: randomLanguageCase, wildcards: randomWildcardsCase }[values.kind]
if (makeCase === undefined) throw new Error('--kind is files, layers, language or wildcards')

/** Times of the build itself differ between two builds: any of the last hours is `now`. What docker saves has directories of which only the time changed. */
function settleTimes(outcome) {
  const recent = Date.now() / 1000 - 6 * 3600
  const settle = (line) => line.replace(/ @(\d+)$/, (all, time) => (Number(time) > recent ? ' @now' : all))
  // docker's mounts on hosts and resolv.conf touch etc.
  const settled = (lines) =>
    Object.fromEntries(Object.entries(lines ?? {}).flatMap(([path, line]) => (/^(\d+ )?etc$/.test(path) ? [] : [[path, settle(line)]])))
  const tree = settled(outcome.tree)
  if (values.kind === 'layers')
    for (const path of Object.keys(tree)) if (tree[path].startsWith('directory')) tree[path] = tree[path].replace(/ @.*/, '')
  return { ...outcome, tree, steps: settled(outcome.steps), members: settled(outcome.members) }
}

/** Ours leaves out what means nothing outside of BuildKit. */
function plain(message) {
  return message?.replace('failed to compute cache key: ', '').replace(' of ref REF', '')
}

const work = mkdtempSync(join(tmpdir(), 'tbuild-fuzz-'))
try {
  const { baseTree, outcome, peerBuilder, tbuildBuilder } = await load('differential', work)
  const layout = await busyboxLayout()
  const base = baseTree(layout)
  const peer = peerBuilder(process.env.TBUILD_PEER, { busybox: layout })
  const tbuild = tbuildBuilder(root, join(work, 'store'), { busybox: layout })
  let different = 0
  let refused = 0
  const first = Number(values.seed)
  for (let seed = first; seed < first + Number(values.count); seed++) {
    const { setup, dockerfile } = makeCase(seed)
    const folder = values.keep === undefined ? join(work, 'case') : join(values.keep, String(seed))
    mkdirSync(folder, { recursive: true })
    writeFileSync(join(folder, 'Dockerfile'), dockerfile)
    writeFileSync(join(folder, 'setup.sh'), `${setup}\n`)
    const one = { rule: 'random', name: `seed ${seed}`, folder, setup, mtimes: { includes: () => true } }
    const failed = (error) => ({ broken: error.message })
    const both = [peer, tbuild].map((builder) => outcome(one, builder, base, { steps: true, members: values.members }).catch(failed))
    const [theirs, ours] = (await Promise.all(both)).map(settleTimes)
    if (theirs.refused) {
      refused += 1
      if (process.env.TBUILD_FUZZ_REASONS) console.log(`seed ${seed}: ${theirs.message}`)
    }
    const lines = difference(theirs, ours)
    const messages = theirs.refused || ours.refused ? `\n  docker: ${theirs.message}\n  tbuild: ${ours.message}` : ''
    if (lines.length > 0) {
      different += 1
      console.log(`seed ${seed}\n${dockerfile}${lines.join('\n')}${messages}\n`)
    } else if (plain(theirs.message) !== plain(ours.message)) console.log(`seed ${seed}: another message${messages}\n`)
  }
  console.log(`${values.count} cases, ${refused} refused by both, ${different} different`)
  process.exitCode = different === 0 ? 0 : 1
} finally {
  rmSync(work, { recursive: true, force: true })
}
