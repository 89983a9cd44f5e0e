import { hexOf, RunningHash } from '../base/digest.ts'
import { sys } from '../base/sys.ts'
import { DT_DIR } from '../base/sys-constants.ts'
import { RECORD_HEADER, type ScannedDirectory, STAT, STAT_FIELDS, StatRow, type SysStat, statOf } from '../base/sys-values.ts'
import type { MatchState } from '../go/pattern-matcher.ts'
import type { DirectoryFds } from './directory-fds.ts'
import { bytes, joinKey, type Key } from './path.ts'
import type { Listing, TreeNode, TreeScan } from './types.ts'

/** The longest path that the kernel takes, with the NUL at its end. */
const PATH_MAX = 4096
/** Directories of one call at most. */
const BATCH = 256
/** libuv's threads. */
const THREADS = 4

/** The state of a directory for those in it; undefined when nothing in it is wanted. */
type Enter = (key: Key, parent: MatchState | undefined) => { readonly state: MatchState | undefined } | undefined

/** The directories below one of them, with their names and stats as they were then. */
interface Scanned extends Pick<TreeScan, 'digest' | 'newest'> {
  /** Undefined where it was not entered, or could not be read. */
  directory(key: Key): ScannedListing | undefined
}

/** What a scan found in one directory. */
export class ScannedListing {
  /** As that of a DirectoryListing. */
  readonly place: Listing
  readonly #found: ScannedDirectory

  constructor(fds: DirectoryFds, key: Key, found: ScannedDirectory) {
    this.place = { fd: () => fds.fd(key) }
    this.#found = found
  }

  stat(index: number): SysStat {
    return statOf(this.#found.stats, index * STAT_FIELDS)
  }

  /** Sorted by bytes. The stat is good until `visit` returns. */
  forEach(visit: (name: Key, stat: SysStat, index: number) => void): void {
    const { names, stats } = this.#found
    const row = new StatRow(stats)
    for (let at = 0, index = 0; at < names.length; index++) {
      const end = endOf(names, at)
      visit(nameAt(names, at, end), row.at(index), index)
      at = end
    }
  }

  /** Names of the directories. Nothing is made of what is none. */
  directories(): Key[] {
    const { names } = this.#found
    const found: Key[] = []
    for (let at = 0; at < names.length; ) {
      const end = endOf(names, at)
      if (names[at] === DT_DIR) found.push(nameAt(names, at, end))
      at = end
    }
    return found
  }
}

/** Of the record that begins there. */
function endOf(names: Buffer, at: number): number {
  return at + RECORD_HEADER + ((names[at + 1] as number) | ((names[at + 2] as number) << 8))
}

function nameAt(names: Buffer, at: number, end: number): Key {
  return names.toString('latin1', at + RECORD_HEADER, end)
}

interface TopDirectory extends Pick<TreeNode, 'stat'> {
  readonly key: Key
  /** What the ignore file said of it. */
  readonly ignored: MatchState | undefined
}

interface Directory {
  readonly key: Key
  readonly state: MatchState | undefined
}

/** `top`: a directory of the tree that these are the descriptors of. A level is read at once, whatever is in it. */
export async function scanTree(fds: DirectoryFds, top: TopDirectory, enter: Enter): Promise<Scanned> {
  const found = new Map<Key, ScannedListing>()
  const hash = new RunningHash()
  const newest = { mtimeSeconds: top.stat.mtimeSeconds, ctimeSeconds: top.stat.ctimeSeconds }
  const relative = (key: Key) => (key === top.key ? '.' : top.key === '' ? key : key.slice(top.key.length + 1))
  let isWhole = true
  for (let level: Directory[] = [{ key: top.key, state: top.ignored }]; level.length > 0; ) {
    const next: Directory[] = []
    const paths = level.map(({ key }) => bytes(relative(key)))
    const scanned = await scanLevel(fds.fd(top.key), paths)
    for (const [index, { key, state }] of level.entries()) {
      const directory = scanned[index]
      isWhole &&= directory !== undefined
      if (directory === undefined) continue
      const listing = new ScannedListing(fds, key, directory)
      found.set(key, listing)
      hash
        .update(bytes(`${directory.names.length} ${key}\0`))
        .update(directory.names)
        .update(bytesOf(directory.stats))
      note(newest, directory.stats)
      for (const name of listing.directories()) {
        const below = joinKey(key, name)
        const entered = enter(below, state)
        if (entered !== undefined) next.push({ key: below, state: entered.state })
      }
    }
    level = next
  }
  return { directory: (key) => found.get(key), digest: isWhole ? hexOf(hash.finish()) : undefined, newest }
}

/** One call for many directories, several side by side. */
async function scanLevel(fd: number, paths: readonly Buffer[]): Promise<(ScannedDirectory | undefined)[]> {
  const possible = paths.filter(({ length }) => length < PATH_MAX)
  const size = Math.min(BATCH, Math.ceil(possible.length / THREADS))
  const calls: Promise<(ScannedDirectory | undefined)[]>[] = []
  for (let at = 0; at < possible.length; at += size) calls.push(sys().scanEach(fd, possible.slice(at, at + size)))
  const scanned = (await Promise.all(calls)).flat()
  let at = 0
  return paths.map(({ length }) => (length < PATH_MAX ? scanned[at++] : undefined))
}

function note(newest: { mtimeSeconds: number; ctimeSeconds: number }, stats: Float64Array): void {
  for (let at = 0; at < stats.length; at += STAT_FIELDS) {
    newest.mtimeSeconds = Math.max(newest.mtimeSeconds, stats[at + STAT.mtimeSeconds] as number)
    newest.ctimeSeconds = Math.max(newest.ctimeSeconds, stats[at + STAT.ctimeSeconds] as number)
  }
}

const bytesOf = ({ buffer, byteOffset, byteLength }: Float64Array) => new Uint8Array(buffer, byteOffset, byteLength)
