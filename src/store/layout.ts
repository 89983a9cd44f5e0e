import { accessSync, chmodSync, constants, lstatSync, mkdirSync, readdirSync, readFileSync, realpathSync, type Stats } from 'node:fs'
import { join } from 'node:path'
import { errorCode, TbuildError } from '../base/errors.ts'
import { outerRoot } from '../base/privileges.ts'
import { OCI_LAYOUT } from '../values/oci.ts'
import { writeAtomicSync } from './atomic-file.ts'
import { ifPresent, storeError } from './store-error.ts'

/** Where things lie in the store. All paths are absolute. */
export interface StoreLayout {
  readonly root: string
  readonly v1: string
  readonly oci: string
  readonly blobs: string
  readonly layers: string
  readonly records: string
  readonly steps: string
  readonly listings: string
  readonly images: string
  readonly mounts: string
  readonly stat: string
  readonly locks: string
  readonly leases: string
  readonly tmp: string
}

const FORMAT = '{"store":"tbuild","version":1}\n'
const OCI_INDEX = '{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[]}'

function layoutOf(root: string): StoreLayout {
  const v1 = join(root, 'v1')
  const oci = join(v1, 'oci')
  return {
    root,
    v1,
    oci,
    blobs: join(oci, 'blobs', 'sha256'),
    layers: join(v1, 'layers'),
    records: join(v1, 'cache', 'records'),
    steps: join(v1, 'cache', 'steps'),
    listings: join(v1, 'cache', 'listings'),
    images: join(v1, 'images'),
    mounts: join(v1, 'mounts'),
    stat: join(v1, 'stat'),
    locks: join(v1, 'locks'),
    leases: join(v1, 'leases'),
    tmp: join(v1, 'tmp'),
  }
}

/**
 * The layout of the store at `root`, an absolute path, made when it is not there. Four system calls when it is. In a directory that others may write to, as a volume of a
 * container is (emptyDir of Kubernetes, --tmpfs of Docker), the store is a private directory of this user.
 * Errors: STORE_UNSAFE, STORE_READONLY, STORE_FORMAT, STORE_FULL, STORE_IO.
 */
export function openLayout(root: string): StoreLayout {
  try {
    mkdirSync(root, { recursive: true, mode: 0o700 })
    const layout = layoutOf(placeIn(realpathSync(root)))
    // Image layers hold setuid programs and secrets: nobody else may reach them (CVE-2021-41091, CVE-2024-25621).
    checkOwner(layout.root, 0o022)
    if (ifPresent(() => lstatSync(layout.v1)) === undefined) mkdirSync(layout.v1, { recursive: true, mode: 0o700 })
    checkOwner(layout.v1, 0o077)
    accessSync(layout.v1, constants.R_OK | constants.W_OK | constants.X_OK)
    checkFormat(layout)
    return layout
  } catch (error) {
    if (errorCode(error) === 'EEXIST' || errorCode(error) === 'ENOTDIR') {
      throw new TbuildError('STORE_FORMAT', `${root} is not a directory`, { hint: 'give a directory as --root', cause: error })
    }
    throw storeError(error, `be opened at ${root}`)
  }
}

/** The directory itself, or the one in it that this user's store is when the directory is shared. What lies there already is not trusted: `checkOwner` follows. */
function placeIn(root: string): string {
  const { mode } = lstatSync(root)
  if ((mode & 0o022) === 0 || ifPresent(() => lstatSync(join(root, 'v1'))) !== undefined) return root
  const own = join(root, `tbuild-${userNumber()}`)
  if (ifPresent(() => lstatSync(own)) === undefined) makeDirectory(own)
  return own
}

/** Another process of this user may be first; what somebody else put there is judged afterwards. */
function makeDirectory(path: string): void {
  try {
    mkdirSync(path, { mode: 0o700 })
  } catch (error) {
    if (errorCode(error) !== 'EEXIST') throw error
  }
}

/** As the machine knows the user, who is root inside of a user namespace. */
function userNumber(): number {
  const uid = process.geteuid?.() ?? 0
  return uid === 0 ? outerRoot() : uid
}

function checkOwner(path: string, forbidden: number): void {
  const stat: Stats = lstatSync(path)
  const uid = process.geteuid?.() ?? 0
  const unsafe = (why: string, hint: string) => new TbuildError('STORE_UNSAFE', `the store ${path} ${why}`, { hint })
  if (!stat.isDirectory()) throw unsafe('is not a directory', 'give another --root')
  if (stat.uid !== uid) throw unsafe(`belongs to user ${stat.uid}, not to ${uid}`, 'give a --root of your own')
  if ((stat.mode & forbidden) !== 0) {
    throw unsafe(`is open to other users (mode ${(stat.mode & 0o777).toString(8)})`, `if you trust its content: chmod go-rwx '${path}'`)
  }
}

function checkFormat(layout: StoreLayout): void {
  const marker = join(layout.v1, 'format.json')
  const text = ifPresent(() => readFileSync(marker, 'utf8'))
  if (text === FORMAT) return
  if (text !== undefined) {
    throw new TbuildError(
      'STORE_FORMAT',
      `the store ${layout.root} has a format that this tbuild does not know: ${text.slice(0, 100).trim()}`,
      {
        hint: 'use the tbuild that made it, or give another --root',
      },
    )
  }
  initialize(layout, marker)
}

/** Several processes may do this at once: every step can be repeated, and the marker comes last. */
function initialize(layout: StoreLayout, marker: string): void {
  const { root: _root, v1, ...folders } = layout
  const ours = new Set(['oci', 'layers', 'cache', 'images', 'mounts', 'stat', 'locks', 'leases', 'tmp', 'format.json'])
  const foreign = readdirSync(v1).find((name) => !ours.has(name) && !name.startsWith('init-'))
  if (foreign !== undefined) {
    throw new TbuildError('STORE_FORMAT', `${v1} is not a tbuild store: it holds ${JSON.stringify(foreign)}`, {
      hint: 'give another --root',
    })
  }
  for (const folder of Object.values(folders)) mkdirSync(folder, { recursive: true, mode: 0o700 })
  // A umask may have taken more than it should.
  chmodSync(v1, 0o700)
  const write = (path: string, text: string) => writeAtomicSync(join(v1, `init-${process.pid}`), path, text, { durable: true })
  if (ifPresent(() => lstatSync(join(layout.oci, 'oci-layout'))) === undefined) write(join(layout.oci, 'oci-layout'), OCI_LAYOUT)
  if (ifPresent(() => lstatSync(join(layout.oci, 'index.json'))) === undefined) write(join(layout.oci, 'index.json'), OCI_INDEX)
  write(marker, FORMAT)
}
