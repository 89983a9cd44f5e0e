import { cleanPath } from '../go/path.ts'

/** Where a COPY puts things (F2): relative to WORKDIR, `.` and '' mean the directory itself; a trailing slash is kept, `/.` counts as one. */
export function destinationPath(workdir: string, path: string): string {
  const isDirectory = path === '' || path === '.' || path.endsWith('/') || path.endsWith('/.')
  const absolute = cleanPath(path.startsWith('/') ? path : `${workdir}/${path}`)
  return isDirectory && absolute !== '/' ? `${absolute}/` : absolute
}

/** WORKDIR: a relative path is joined to the previous one and cleaned, an absolute one stands as written, trailing slash and all (W1). */
export function joinWorkdir(workdir: string, path: string): string {
  if (path === '') return workdir
  return path.startsWith('/') ? path : cleanPath(`${workdir}/${path}`)
}

/** A mount target below the working directory (M3). */
export function mountTarget(workdir: string, path: string): string {
  return cleanPath(path.startsWith('/') ? path : `${workdir}/${path}`)
}

/** A source: `..` and a leading slash stop at the root of what is copied from (F3). */
export function sourcePath(path: string): string {
  return cleanPath(`/${path}`)
}
