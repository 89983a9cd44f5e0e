// Compares the checks of test/corpus/lint with docker's.
//   TBUILD_PEER=docker node scripts/checks.mjs record [FILE...]    writes what docker says into the files
//   TBUILD_PEER=docker node scripts/checks.mjs compare [FILE...]   prints what differs
// TBUILD_PEER_BUSYBOX is what the peer calls an image for one platform that stands for `busybox` (default: busybox).
import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import { load, root } from './differential-support.mjs'

const work = mkdtempSync(join(tmpdir(), 'tbuild-checks-'))
const [program, ...before] = (process.env.TBUILD_PEER ?? '').split(' ')
const image = process.env.TBUILD_PEER_BUSYBOX ?? 'busybox'

/** What docker says of a case, as lines of the corpus. */
function ask(one) {
  const context = mkdtempSync(join(work, 'case-'))
  // The last word of `FROM busybox` alone, so that messages with other names are not touched.
  writeFileSync(join(context, 'Dockerfile'), one.dockerfile.replace(/(^|\n)(from|FROM)((?: --\S+)*) busybox(?=\s|$)/g, `$1$2$3 ${image}`))
  if (one.ignore !== undefined) writeFileSync(join(context, '.dockerignore'), one.ignore)
  const args = ['buildx', 'build', '--call=check,format=json', ...one.options, '-f', join(context, 'Dockerfile'), context]
  const { stdout, stderr } = spawnSync(program, [...before, ...args], { encoding: 'utf8', timeout: 60_000 })
  if (!stdout.startsWith('{')) return [`error: ${/ERROR: (?:failed to build: )?(?:failed to solve: )?(.*)/.exec(stderr)?.[1] ?? stderr}`]
  const { warnings, buildError } = JSON.parse(stdout)
  const lines = (warnings ?? []).map(({ ruleName, detail, location }) => {
    const first = location.ranges[0].start.line
    const last = location.ranges.at(-1).end.line
    return `${first === last ? first : `${first}-${last}`} ${ruleName}: ${detail.replaceAll(image, 'busybox')}`
  })
  return buildError === undefined ? lines : [...lines, `error: ${buildError.message}`]
}

const [action, ...files] = process.argv.slice(2)
if (!program || !['record', 'compare'].includes(action)) {
  console.error('usage: TBUILD_PEER=docker node scripts/checks.mjs record|compare [FILE...]')
  process.exit(2)
}
try {
  const { loadLintFiles, printLintCase } = await load('lint-cases', work)
  let different = 0
  for (const { path, cases } of loadLintFiles(join(root, 'test/corpus/lint'))) {
    if (files.length > 0 && !files.includes(basename(path))) continue
    const results = cases.map((one) => (one.differs === undefined ? ask(one) : one.expected))
    if (action === 'record') writeFileSync(path, cases.map((one, at) => printLintCase(one, results[at])).join('\n'))
    else
      for (const [at, one] of cases.entries()) {
        if (JSON.stringify(one.expected) === JSON.stringify(results[at])) continue
        different += 1
        console.log(
          `${basename(path)}: ${one.name}\n  expected ${one.expected.join('\n           ')}\n  docker   ${results[at].join('\n           ')}`,
        )
      }
  }
  if (action === 'compare') console.log(`${different} different`)
  process.exitCode = different === 0 ? 0 : 1
} finally {
  rmSync(work, { recursive: true, force: true })
}
