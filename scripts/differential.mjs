// Compares builds of test/corpus/differential with docker's.
//   node scripts/differential.mjs record [CASE...]    writes expected.json from the docker of TBUILD_PEER
//   node scripts/differential.mjs compare [CASE...]   builds with tbuild and prints what differs from expected.json
//   node scripts/differential.mjs peer [CASE...]      builds with docker and prints what differs from expected.json
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { busyboxLayout } from './busybox-layout.mjs'
import { difference, load, root } from './differential-support.mjs'

const [action, ...names] = process.argv.slice(2)
if (!['record', 'compare', 'peer'].includes(action)) {
  console.error('usage: node scripts/differential.mjs record|compare|peer [CASE...]')
  process.exit(2)
}
const work = mkdtempSync(join(tmpdir(), 'tbuild-differential-'))
try {
  const { loadCases } = await load('differential-case', work)
  const { baseTree, outcome, peerBuilder, tbuildBuilder } = await load('differential', work)
  const layout = await busyboxLayout()
  const base = baseTree(layout)
  if (action !== 'compare' && !process.env.TBUILD_PEER) throw new Error('set TBUILD_PEER to a docker command')
  const builder =
    action === 'compare'
      ? tbuildBuilder(root, join(work, 'store'), { busybox: layout })
      : peerBuilder(process.env.TBUILD_PEER, { busybox: layout })
  let different = 0
  for (const one of loadCases(join(root, 'test/corpus/differential'))) {
    if (names.length > 0 && !names.includes(one.name)) continue
    const file = join(one.folder, 'expected.json')
    if (action !== 'compare' && one.corrected !== undefined) continue
    const got = await outcome(one, builder, base)
    if (action === 'record') {
      writeFileSync(file, `${JSON.stringify(got, null, 2)}\n`)
      console.log(`${one.name}: ${got.refused ? `refused: ${got.message}` : `${Object.keys(got.tree).length} paths`}`)
    } else {
      const lines = existsSync(file) ? difference(JSON.parse(readFileSync(file, 'utf8')), got) : ['  not recorded']
      if (lines.length > 0) {
        different += 1
        console.log(`${one.name} (${one.rule})\n${lines.join('\n')}${got.refused ? `\n  ${got.message}` : ''}`)
      }
    }
  }
  if (action !== 'record') console.log(`${different} different`)
  process.exitCode = different === 0 ? 0 : 1
} finally {
  rmSync(work, { recursive: true, force: true })
}
