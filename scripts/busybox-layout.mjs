// Makes the base image of samples/hello and of the differential cases: an OCI layout with one layer, from Debian's busybox-static.
// The same binary gives the same bytes, so that the image's digest is stable on a machine.  node scripts/busybox-layout.mjs [DIR [APPLET,…]]
import { execFileSync } from 'node:child_process'
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { makeOnce, writeLayout } from './oci-layout.mjs'
import { needPackages } from './packages.mjs'

const root = join(dirname(fileURLToPath(import.meta.url)), '..')
const CREATED = '2026-01-01T00:00:00Z'
const PATH = 'PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'

const PASSWD = `root:x:0:0:root:/root:/bin/sh
daemon:x:1:1:daemon:/usr/sbin:/bin/false
www-data:x:33:33:www-data:/var/www:/bin/false
nobody:x:65534:65534:nobody:/home:/bin/false
`
const GROUP = 'root:x:0:\nwheel:x:10:root\ndaemon:x:1:\nwww-data:x:33:\nnogroup:x:65534:\n'

/** A ustar header: POSIX.1-1988, the names here are short. */
function header({ name, mode, type, size = 0, link = '' }) {
  const block = Buffer.alloc(512)
  const octal = (value, width) => `${value.toString(8).padStart(width - 1, '0')}\0`
  block.write(name, 0, 100, 'latin1')
  block.write(octal(mode, 8), 100, 'latin1')
  block.write(octal(0, 8), 108, 'latin1')
  block.write(octal(0, 8), 116, 'latin1')
  block.write(octal(size, 12), 124, 'latin1')
  block.write(octal(Date.parse(CREATED) / 1000, 12), 136, 'latin1')
  block.write('        ', 148, 'latin1')
  block.write(type, 156, 'latin1')
  block.write(link, 157, 100, 'latin1')
  block.write('ustar\x0000', 257, 'latin1')
  const sum = block.reduce((total, byte) => total + byte, 0)
  block.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148, 'latin1')
  return block
}

function tar(busybox, applets) {
  const parts = []
  const directory = (name, mode = 0o755) => parts.push(header({ name: `${name}/`, mode, type: '5' }))
  const file = (name, data, mode = 0o644) =>
    parts.push(header({ name, mode, type: '0', size: data.length }), data, Buffer.alloc((512 - (data.length % 512)) % 512))
  directory('bin')
  for (const name of [...new Set(['busybox', ...applets])].sort()) {
    if (name === 'busybox') file('bin/busybox', busybox, 0o755)
    else parts.push(header({ name: `bin/${name}`, mode: 0o777, type: '2', link: 'busybox' }))
  }
  directory('etc')
  file('etc/group', Buffer.from(GROUP))
  file('etc/passwd', Buffer.from(PASSWD))
  for (const name of ['dev', 'home', 'proc', 'root', 'sys', 'tmp', 'usr', 'usr/bin', 'var'])
    directory(name, { root: 0o700, tmp: 0o1777 }[name])
  return Buffer.concat([...parts, Buffer.alloc(1024)])
}

/** Debian has a dynamic busybox too, which would not run in an image without libraries: PT_INTERP names the loader near the start. */
function isStatic(binary) {
  return !binary.subarray(0, 4096).includes('/ld-linux')
}

/** Makes the layout unless it is there; returns its folder. `only`: not all applets. */
export function busyboxLayout(folder = join(root, 'build/bases/busybox'), only = undefined) {
  return makeOnce(folder, async () => {
    needPackages(['busybox-static'], () => existsSync('/bin/busybox') && isStatic(readFileSync('/bin/busybox')))
    const applets = only ?? execFileSync('/bin/busybox', ['--list'], { encoding: 'utf8' }).trim().split('\n')
    const layer = join(mkdtempSync(join(tmpdir(), 'tbuild-busybox-')), 'layer.tar')
    writeFileSync(layer, tar(readFileSync('/bin/busybox'), applets))
    await writeLayout(folder, layer, { config: { Env: [PATH], Cmd: ['sh'] }, by: 'busybox-static' })
    rmSync(dirname(layer), { recursive: true })
  })
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const [folder, only] = process.argv.slice(2)
  console.log(await busyboxLayout(folder === undefined ? undefined : resolve(folder), only?.split(',')))
}
