// `npm test`: all set-up that is missing, then jest. Arguments go to jest: `npm test -- --selectProjects unit`.
import { spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { needPackages, unpackPackage } from './packages.mjs'

/** Commands that tests judge or feed tbuild with, and the Debian package of each. */
const TOOLS = {
  setfattr: 'attr',
  bzip2: 'bzip2',
  xz: 'xz-utils',
  zstd: 'zstd',
  python3: 'python3',
  openssl: 'openssl',
  chattr: 'e2fsprogs',
  git: 'git',
  skopeo: 'skopeo',
  umoci: 'umoci',
  newuidmap: 'uidmap',
  busybox: 'busybox-static',
  'ssh-add': 'openssh-client',
  // Its service would be started where there is an init: there it is installed by hand.
  ...(existsSync('/run/systemd/system') ? {} : { sshd: 'openssh-server' }),
}

const missing = () => {
  const folders = [...(process.env.PATH ?? '').split(':'), '/usr/sbin', '/sbin']
  return Object.keys(TOOLS).filter((name) => !folders.some((folder) => existsSync(join(folder, name))))
}

await import('./setup.mjs')
const packages = missing().map((name) => TOOLS[name])
if (process.getuid() === 0) needPackages(packages, () => missing().length === 0, { mend: true })
else if (packages.length > 0) console.error(`tests that need them will fail: ${packages.join(' ')} (Debian's names) are missing`)
// Installing it would register it for the whole machine.
if (!existsSync('/usr/bin/qemu-aarch64-static')) unpackPackage('qemu-user-static', join(import.meta.dirname, '../build/qemu'))
const jest = createRequire(import.meta.url).resolve('jest/bin/jest')
const child = spawnSync(process.execPath, ['--experimental-vm-modules', '--no-warnings', jest, ...process.argv.slice(2)], {
  stdio: 'inherit',
})
process.exitCode = child.status ?? 1
