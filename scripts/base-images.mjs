// Makes base images for the samples without a registry: Debian by mmdebstrap from this machine's own package sources, as OCI layouts in
// build/bases (kept there). Needs root.   node scripts/base-images.mjs [debian|node|golang|python]...
import { execFileSync } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, realpathSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { busyboxLayout } from './busybox-layout.mjs'
import { writeLayout } from './oci-layout.mjs'
import { needPackages } from './packages.mjs'

const root = join(dirname(fileURLToPath(import.meta.url)), '..')
const PATH = 'PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'

const BASES = {
  debian: { packages: [], cmd: ['bash'] },
  // The node that runs this script: the packages are what its binary is linked with.
  node: { packages: ['libstdc++6', 'libatomic1'], cmd: ['node'], hooks: nodeHooks },
  golang: { packages: ['golang-go'], cmd: ['bash'] },
  python: { packages: ['python3', 'python3-pip'], cmd: ['python3'] },
}

function nodeHooks() {
  const npm = join(dirname(realpathSync(process.execPath)), '../lib/node_modules/npm')
  if (!existsSync(npm)) throw new Error(`npm is not at ${npm}, beside the node that runs this script`)
  const link = (name) => `ln -s ../lib/node_modules/npm/bin/${name}-cli.js "$1/usr/local/bin/${name}"`
  return [
    'mkdir -p "$1/usr/local/bin" "$1/usr/local/lib/node_modules"',
    `cp "${realpathSync(process.execPath)}" "$1/usr/local/bin/node"`,
    `cp -r "${realpathSync(npm)}" "$1/usr/local/lib/node_modules/npm"`,
    link('npm'),
    link('npx'),
  ]
}

/** The machine's own sources of Debian packages: whatever mirror it is set up for is the one that is reached. */
function sources() {
  const folder = '/etc/apt/sources.list.d'
  const files = ['/etc/apt/sources.list', ...readdirSync(folder).map((name) => join(folder, name))]
  const debian = files.filter((file) => existsSync(file) && /^(URIs:|deb) .*\/debian\/?( |$)/m.test(readFileSync(file, 'utf8')))
  if (debian.length === 0) throw new Error('no Debian package source in /etc/apt')
  return debian
}

function release() {
  return /^VERSION_CODENAME=(.*)$/m.exec(readFileSync('/etc/os-release', 'utf8'))?.[1] ?? 'stable'
}

/** Makes the layout of a base unless it is there; returns its folder. */
export async function baseImage(name) {
  if (name === 'busybox') return busyboxLayout()
  const base = BASES[name]
  if (base === undefined) throw new Error(`unknown base ${name}: ${['busybox', ...Object.keys(BASES)].join(', ')}`)
  const folder = join(root, 'build/bases', name)
  if (existsSync(join(folder, 'index.json'))) return folder
  needPackages(['mmdebstrap'], () => existsSync('/usr/bin/mmdebstrap'))
  const work = mkdtempSync(join(tmpdir(), 'tbuild-base-'))
  try {
    const tar = join(work, 'layer.tar')
    const include = ['ca-certificates', ...base.packages].join(',')
    const hooks = (base.hooks?.() ?? []).map((hook) => `--customize-hook=${hook}`)
    const args = ['--quiet', '--variant=minbase', `--include=${include}`, ...hooks, release(), tar, ...sources()]
    execFileSync('mmdebstrap', args, { stdio: ['ignore', 'inherit', 'inherit'], env: { ...process.env, SOURCE_DATE_EPOCH: '1767225600' } })
    mkdirSync(dirname(folder), { recursive: true })
    await writeLayout(folder, tar, { config: { Env: [PATH], Cmd: base.cmd }, by: `mmdebstrap ${release()}`, level: 1 })
    return folder
  } finally {
    rmSync(work, { recursive: true, force: true })
  }
}

/** What the FROM of each sample is called, and the base that stands for it. */
export const SAMPLES = {
  hello: { busybox: 'busybox' },
  'node-app': { 'node:20': 'node' },
  'go-scratch': { 'golang:1': 'golang' },
  nginx: { 'debian:bookworm': 'debian' },
  'python-app': { 'python:3': 'python' },
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const names = process.argv.slice(2)
  for (const name of names.length > 0 ? names : Object.keys(BASES)) console.log(await baseImage(name))
}
