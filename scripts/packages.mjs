// Debian packages that a step needs: installed when we are root on Debian, otherwise named in an error that says what to do.   node scripts/packages.mjs NAME...
import { spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

/** Returns when `present()` is true, after installing the packages if need be. */
export function needPackages(names, present) {
  if (present()) return
  const command = `apt-get install -y --no-install-recommends ${names.join(' ')}`
  const canInstall = process.getuid() === 0 && existsSync('/usr/bin/apt-get')
  if (canInstall) {
    console.error(`tbuild: installing ${names.join(' ')}`)
    const install = () =>
      spawnSync('apt-get', ['install', '-y', '-q', '--no-install-recommends', '-o', 'DPkg::Lock::Timeout=300', ...names], options)
    const options = { stdio: ['ignore', 'ignore', 'pipe'], encoding: 'utf8', env: { ...process.env, DEBIAN_FRONTEND: 'noninteractive' } }
    let result = install()
    if (result.status !== 0) {
      spawnSync('apt-get', ['update', '-q', '-o', 'DPkg::Lock::Timeout=300'], options)
      result = install()
    }
    if (result.status === 0 && present()) return
    console.error(result.stderr)
  }
  console.error(`tbuild needs: ${names.join(' ')}\nOn Debian or Ubuntu: ${canInstall ? '' : 'sudo '}${command}`)
  process.exit(1)
}

const isInstalled = (name) => /^Status: install ok installed$/m.test(spawnSync('dpkg', ['-s', name], { encoding: 'utf8' }).stdout ?? '')

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const names = process.argv.slice(2)
  needPackages(names, () => names.every(isInstalled))
}
