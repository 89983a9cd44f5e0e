// Builds each sample with tbuild and with the docker of TBUILD_PEER on the same bases, and prints what differs in tree, config and history.
//   TBUILD_PEER=docker node scripts/compare-samples.mjs [NAME...]
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { baseImage, SAMPLES } from './base-images.mjs'
import { load, root } from './differential-support.mjs'

/** What the commands of the samples write differently each time: logs, caches with times in them, generated keys. */
const IGNORE = [
  'var/log',
  'var/cache/apt',
  'var/cache/ldconfig',
  'var/cache/debconf',
  'var/lib/dpkg/status',
  'etc/ssl/private',
  'root/.npm',
  'root/.cache',
  'tmp',
]

if (!process.env.TBUILD_PEER) {
  console.error('set TBUILD_PEER to a docker command')
  process.exit(2)
}
const work = mkdtempSync(join(tmpdir(), 'tbuild-samples-'))
try {
  const { baseTree, peerBuilder, tbuildBuilder } = await load('differential', work)
  const { outcomeOf } = await load('differential-case', work)
  const { readImage } = await load('image-archive', work)
  const { applyLayers } = await load('image-tree', work)
  let different = 0
  for (const name of process.argv.length > 2 ? process.argv.slice(2) : Object.keys(SAMPLES)) {
    const bases = {}
    for (const [from, base] of Object.entries(SAMPLES[name])) bases[from] = await baseImage(base)
    const before = baseTree(Object.values(bases)[0])
    const lines = {}
    for (const builder of [tbuildBuilder(root, join(work, 'store'), bases), peerBuilder(process.env.TBUILD_PEER, bases)]) {
      const archive = join(work, `${builder.name}.tar`)
      const problem = await builder.build(join(root, 'samples', name), ['--network', 'host', '--allow', 'network.host'], archive)
      if (problem !== undefined) throw new Error(`${builder.name}: ${problem}`)
      const image = readImage(archive)
      const { tree, ...rest } = outcomeOf(image, applyLayers(image.layers), before, { ignore: IGNORE })
      // Compiled Python holds the time of its source.
      const files = Object.entries(tree).filter(([path]) => !path.endsWith('.pyc'))
      lines[builder.name] = new Set([
        ...files.map(([path, line]) => `${path}: ${line}`),
        // Dockers before BuildKit's d67dafeb8 print the health check of a history entry in another form (I4).
        ...Object.entries(rest).map((part) => JSON.stringify(part).replace(/HEALTHCHECK [&{].*?(?= \(buildkit)/, 'HEALTHCHECK')),
      ])
    }
    const only = (a, b, sign) => [...lines[a]].filter((line) => !lines[b].has(line)).map((line) => `  ${sign} ${line}`)
    const found = [...only('peer', 'tbuild', '-'), ...only('tbuild', 'peer', '+')]
    if (found.length > 0) different += 1
    console.log(`${name}: ${lines.tbuild.size} lines, ${found.length} different`)
    for (const line of found) console.log(line)
  }
  process.exitCode = different === 0 ? 0 : 1
} finally {
  rmSync(work, { recursive: true, force: true })
}
