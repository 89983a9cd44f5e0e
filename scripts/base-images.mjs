// Makes base images for the samples without a registry, as OCI layouts in build/bases (kept there): Debian by mmdebstrap from this machine's own package
// sources, the others from it by tbuild. Needs root.   node scripts/base-images.mjs [debian|node|golang|python]...
import { execFileSync } from 'node:child_process'
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  realpathSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { busyboxLayout } from './busybox-layout.mjs'
import { makeOnce, writeLayout } from './oci-layout.mjs'
import { needPackages } from './packages.mjs'

const root = join(dirname(fileURLToPath(import.meta.url)), '..')
const bases = join(root, 'build/bases')
const PATH = 'PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'
const install = (packages) =>
  `RUN apt-get update && apt-get install -y --no-install-recommends ${packages} && rm -rf /var/lib/apt/lists/*\n`

/** Dockerfiles on Debian; `prepare` fills the context. */
const ON_DEBIAN = {
  // The node that runs this script: the packages are what its binary is linked with.
  node: {
    dockerfile: `FROM debian\n${install('libstdc++6 libatomic1')}COPY --link . /usr/local/\nCMD ["node"]\n`,
    prepare: copyNode,
  },
  golang: { dockerfile: `FROM debian\n${install('golang-go')}CMD ["bash"]\n` },
  python: { dockerfile: `FROM debian\n${install('python3 python3-pip')}CMD ["python3"]\n` },
}

function copyNode(context) {
  const npm = join(dirname(realpathSync(process.execPath)), '../lib/node_modules/npm')
  if (!existsSync(npm)) throw new Error(`npm is not at ${npm}, beside the node that runs this script`)
  mkdirSync(join(context, 'bin'))
  cpSync(realpathSync(process.execPath), join(context, 'bin/node'))
  cpSync(realpathSync(npm), join(context, 'lib/node_modules/npm'), { recursive: true, dereference: true })
  for (const name of ['npm', 'npx']) execFileSync('ln', ['-s', `../lib/node_modules/npm/bin/${name}-cli.js`, join(context, 'bin', name)])
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
export function baseImage(name) {
  if (name === 'busybox') return busyboxLayout()
  const folder = join(bases, name)
  if (name === 'debian') return makeOnce(folder, () => inWorkFolder((work) => makeDebian(folder, work)))
  const base = ON_DEBIAN[name]
  if (base === undefined) throw new Error(`unknown base ${name}: ${['busybox', 'debian', ...Object.keys(ON_DEBIAN)].join(', ')}`)
  return makeOnce(folder, () => inWorkFolder((work) => makeOnDebian(folder, work, base)))
}

async function inWorkFolder(use) {
  const work = mkdtempSync(join(tmpdir(), 'tbuild-base-'))
  try {
    return await use(work)
  } finally {
    rmSync(work, { recursive: true, force: true })
  }
}

async function makeDebian(folder, work) {
  needPackages(['mmdebstrap'], () => existsSync('/usr/bin/mmdebstrap'))
  const tar = join(work, 'layer.tar')
  const args = ['--quiet', '--variant=minbase', '--include=ca-certificates', release(), tar, ...sources()]
  execFileSync('mmdebstrap', args, { stdio: ['ignore', 'inherit', 'inherit'], env: { ...process.env, SOURCE_DATE_EPOCH: '1767225600' } })
  await writeLayout(folder, tar, { config: { Env: [PATH], Cmd: ['bash'] }, by: `mmdebstrap ${release()}`, level: 1 })
}

async function makeOnDebian(folder, work, { dockerfile, prepare }) {
  const debian = await baseImage('debian')
  const [context, layout] = [join(work, 'context'), `${folder}.${process.pid}`]
  mkdirSync(context)
  prepare?.(context)
  writeFileSync(join(work, 'Dockerfile'), dockerfile)
  const output = `type=oci,tar=false,dest=${layout},compression=gzip,compression-level=1`
  const args = ['build', '-f', join(work, 'Dockerfile'), '--root', join(work, 'store'), '--build-context', `debian=oci-layout://${debian}`]
  execFileSync(process.execPath, [join(root, 'bin/tbuild.js'), ...args, '--progress', 'plain', '-o', output, context], { stdio: 'inherit' })
  renameSync(layout, folder)
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
  for (const name of names.length > 0 ? names : ['debian', ...Object.keys(ON_DEBIAN)]) console.log(await baseImage(name))
}
