import type { Selection } from './node.ts'

/** Without paths in others of them, sorted. */
export function dedupePaths(paths: readonly string[]): string[] {
  if (paths.length <= 1) return [...paths]
  const unique = [...new Set(paths)]
  const isIn = (path: string, other: string) => path !== other && path.startsWith(other.endsWith('/') ? other : `${other}/`)
  return unique.filter((path) => !unique.some((other) => isIn(path, other))).sort()
}

/** solver/llbsolver/ops/file.go, dedupeSelectors. */
export function dedupeSelections(list: readonly Selection[]): Selection[] {
  const isPlain = ({ wildcard, include, exclude }: Selection) => wildcard !== true && include === undefined && exclude === undefined
  const plain = list.filter(isPlain)
  const paths = (follow: boolean) => dedupePaths(plain.filter(({ followLinks = false }) => followLinks === follow).map(({ path }) => path))
  const all: Selection[] = [
    ...paths(false).map((path) => ({ path })),
    ...paths(true).map((path) => ({ path, followLinks: true })),
    ...list.filter((selection) => !isPlain(selection)),
  ]
  return all.sort((a, b) => (a.path < b.path ? -1 : a.path > b.path ? 1 : 0))
}
