// Builds a sample with bases made on this machine: no registry is needed.   node scripts/sample.mjs hello [tbuild options]
import { spawnSync } from 'node:child_process'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { baseImage, SAMPLES } from './base-images.mjs'

const root = join(dirname(fileURLToPath(import.meta.url)), '..')
const [name = '', ...options] = process.argv.slice(2)
const froms = SAMPLES[name]
if (froms === undefined) {
  console.error(`usage: node scripts/sample.mjs ${Object.keys(SAMPLES).join('|')} [tbuild options]`)
  process.exit(2)
}
const contexts = []
for (const [from, base] of Object.entries(froms)) contexts.push('--build-context', `${from}=oci-layout://${await baseImage(base)}`)
const args = ['build', ...contexts, '-t', `sample/${name}`, ...options, join(root, 'samples', name)]
const child = spawnSync(process.execPath, [join(root, 'bin/tbuild.js'), ...args], { stdio: 'inherit' })
process.exitCode = child.status ?? 1
