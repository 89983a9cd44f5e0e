// Prints the memory of a build whose step prints without end while nobody reads: it stays flat.
//   node bench/backpressure.mjs [plain|rawjson|tty] [SECONDS]
// Needs busybox-static, as the tests do. A reader that never pauses is measured after it, for comparison.
import { spawn, spawnSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = join(dirname(fileURLToPath(import.meta.url)), '..')
const [progress = 'plain', seconds = '10'] = process.argv.slice(2)
const layout = spawnSync(process.execPath, [join(root, 'scripts/busybox-layout.mjs')], { encoding: 'utf8' }).stdout.trim()
const work = mkdtempSync(join(tmpdir(), 'tbuild-bench-'))
const context = join(work, 'context')
mkdirSync(context)
writeFileSync(join(context, 'Dockerfile'), 'FROM busybox\nRUN yes aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\n')
const options = ['--root', join(work, 'store'), '--build-context', `busybox=oci-layout://${layout}`, '--progress', progress, '--no-cache']

/** `pauses`: nobody reads. */
async function measure(title, pauses) {
  const child = spawn(process.execPath, [join(root, 'bin/tbuild.js'), ...options, context], { stdio: ['ignore', 'ignore', 'pipe'] })
  let bytes = 0
  if (!pauses) child.stderr.on('data', (data) => (bytes += data.length))
  const ended = new Promise((resolve) => child.on('exit', resolve))
  for (let second = 1; second <= Number(seconds); second += 1) {
    await new Promise((resolve) => setTimeout(resolve, 1000))
    const resident = /VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${child.pid}/status`, 'utf8'))?.[1]
    console.log(
      `${title}  ${String(second).padStart(3)} s  ${(Number(resident) / 1024).toFixed(0).padStart(5)} MiB${pauses ? '' : `  ${(bytes / 2 ** 20).toFixed(0)} MiB read`}`,
    )
  }
  child.kill('SIGINT')
  await ended
  child.stderr.destroy()
}

try {
  await measure('nobody reads', true)
  await measure('somebody reads', false)
} finally {
  rmSync(work, { recursive: true, force: true })
}
