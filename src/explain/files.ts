import type { FileChange } from '../base/explanation.ts'
import type { HashedFile } from '../tree/hash.ts'

/** Where the paths of a listing lie: the path that a COPY or mount names. */
export interface ListedSource {
  readonly path: string
  /** COPY --parents: paths are relative to what stands before `/./`. */
  readonly parents: boolean
}

/** Which files differ between two listings, sorted by path. A file has one change: the most telling one. */
export function compareFiles(before: readonly HashedFile[], now: readonly HashedFile[], source: ListedSource): FileChange[] {
  const [old, current] = [byPath(before), byPath(now)]
  const changes: FileChange[] = []
  for (const key of [...new Set([...old.keys(), ...current.keys()])].sort()) {
    const [from, to] = [old.get(key), current.get(key)]
    const change =
      from === undefined ? { change: 'added' as const } : to === undefined ? { change: 'removed' as const } : compareFile(from, to)
    if (change !== undefined) changes.push({ path: shownPath(to ?? (from as HashedFile), source), ...change })
  }
  return changes
}

/** Several matches of a wildcard may have files of the same name: they are told apart by their order. */
function byPath(files: readonly HashedFile[]): Map<string, HashedFile> {
  const known = new Map<string, HashedFile>()
  for (const file of files) {
    let key = file.path
    for (let count = 1; known.has(key); count += 1) key = `${file.path}\0${count}`
    known.set(key, file)
  }
  return known
}

function compareFile(from: HashedFile, to: HashedFile): Omit<FileChange, 'path'> | undefined {
  if (from.type !== to.type) return { change: 'type', from: from.type, to: to.type }
  if (from.content !== to.content || from.size !== to.size || from.target !== to.target || from.device !== to.device) {
    return { change: 'content' }
  }
  if (from.mode !== to.mode) return { change: 'mode', from: octal(from.mode), to: octal(to.mode) }
  if (from.uid !== to.uid || from.gid !== to.gid) return { change: 'owner', from: `${from.uid}:${from.gid}`, to: `${to.uid}:${to.gid}` }
  return undefined
}

function octal(mode: number): string {
  return mode.toString(8).padStart(4, '0')
}

/** As the caller would write it: below the source when that is a directory, beside it when it is a file or a pattern. */
function shownPath(file: HashedFile, { path, parents }: ListedSource): string {
  const name = Buffer.from(file.path, 'latin1').toString() + (file.type === 'directory' && file.path !== '' ? '/' : '')
  const source = path.replace(/^\/+/, '')
  if (parents) return join(source.includes('/./') ? source.slice(0, source.indexOf('/./')) : '', name)
  const wildcard = source.search(/[*?[]/)
  if (wildcard >= 0) return join(source.slice(0, source.lastIndexOf('/', wildcard) + 1), name)
  const isItself = file.type !== 'directory' && source.split('/').pop() === name
  return isItself ? source : join(source, name)
}

function join(folder: string, name: string): string {
  const clean = folder.replace(/\/+$/, '')
  if (name === '') return clean === '' || clean === '.' ? '.' : `${clean}/`
  return clean === '' || clean === '.' ? name : `${clean}/${name}`
}
