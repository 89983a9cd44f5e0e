/** Slash paths as Go's package `path` treats them: lexically, never touching a file system. */

/** The shortest equal path: no `.`, no inner `..`, no doubled slash; `..` stops at the root. Empty gives `.`. */
export function cleanPath(path: string): string {
  const rooted = path.startsWith('/')
  const kept: string[] = []
  for (const part of path.split('/')) {
    if (part === '' || part === '.') continue
    if (part !== '..') kept.push(part)
    else if (kept.length > 0 && kept.at(-1) !== '..') kept.pop()
    else if (!rooted) kept.push('..')
  }
  const joined = kept.join('/')
  if (rooted) return `/${joined}`
  return joined === '' ? '.' : joined
}

/** The last element, trailing slashes ignored: `.` of an empty path, `/` of slashes alone. */
export function baseName(path: string): string {
  if (path === '') return '.'
  let end = path.length
  // By hand: an expression for slashes at the end tries each run of slashes from each of its places.
  while (path[end - 1] === '/') end--
  return end === 0 ? '/' : path.slice(path.lastIndexOf('/', end - 1) + 1, end)
}
