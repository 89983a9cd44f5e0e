// Debian packages that a step needs: installed when we are root on Debian, otherwise named in an error that says what to do.   node scripts/packages.mjs NAME...
import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, readdirSync, renameSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const canInstall = () => process.getuid() === 0 && existsSync('/usr/bin/apt-get')

/**
 * Installs, when we are root on Debian, until `present()` is true; says what apt said when it is not. False when there is no apt for us. With `mend`
 * packages of others are changed, too, where an installation was interrupted: for machines that only test.
 */
export function installPackages(names, present, { mend = false } = {}) {
  if (!canInstall()) return false
  console.error(`tbuild: installing ${names.join(' ')}`)
  const options = { stdio: ['ignore', 'ignore', 'pipe'], encoding: 'utf8', env: { ...process.env, DEBIAN_FRONTEND: 'noninteractive' } }
  const apt = (...args) => spawnSync('apt-get', ['-y', '-q', '-o', 'DPkg::Lock::Timeout=300', ...args], options)
  const install = () => apt('install', '--no-install-recommends', ...names)
  let result = install()
  if (result.status !== 0) {
    apt('update')
    if (mend) apt('install', '--fix-broken')
    result = install()
  }
  if (result.status === 0 && present()) return true
  console.error(result.stderr)
  if (/--fix-broken/.test(result.stderr)) {
    console.error('Packages of this machine are half installed. Next: apt-get install --fix-broken, then this again')
  }
  return false
}

/** Returns when `present()` is true, after installing the packages if need be; otherwise the process ends. */
export function needPackages(names, present, options) {
  if (present() || installPackages(names, present, options)) return
  const command = `apt-get install -y --no-install-recommends ${names.join(' ')}`
  console.error(`tbuild needs: ${names.join(' ')}\nOn Debian or Ubuntu: ${process.getuid() === 0 ? '' : 'sudo '}${command}`)
  process.exit(1)
}

/** The files of a package in a directory: nothing is installed, no script of it is run. Root's affair only for the lists of apt. False when it cannot be had. */
export function unpackPackage(name, folder) {
  if (existsSync(folder)) return true
  if (!canInstall()) return false
  console.error(`tbuild: unpacking ${name}`)
  const work = mkdtempSync(join(tmpdir(), 'tbuild-package-'))
  const run = (command, ...args) => spawnSync(command, args, { cwd: work, stdio: 'ignore' }).status === 0
  // apt's own user is not let into a directory of root's.
  const download = () => run('apt-get', '-q', '-o', 'APT::Sandbox::User=root', 'download', name)
  try {
    if (!download() && !(run('apt-get', '-q', 'update') && download())) return false
    const archive = readdirSync(work).find((file) => file.endsWith('.deb'))
    if (archive === undefined || !run('dpkg-deb', '-x', archive, 'files')) return false
    mkdirSync(dirname(folder), { recursive: true })
    rmSync(`${folder}.new`, { recursive: true, force: true })
    if (!run('cp', '--recursive', 'files', `${folder}.new`)) return false
    renameSync(`${folder}.new`, folder)
    return true
  } finally {
    rmSync(work, { recursive: true, force: true })
  }
}

const isInstalled = (name) => /^Status: install ok installed$/m.test(spawnSync('dpkg', ['-s', name], { encoding: 'utf8' }).stdout ?? '')

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const names = process.argv.slice(2)
  needPackages(names, () => names.every(isInstalled))
}
