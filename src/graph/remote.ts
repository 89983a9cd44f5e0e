import { TbuildError } from '../base/errors.ts'

/** What an ADD source is by its text (F33): http(s) is git only when the path ends in .git; `./` and `../` never are. */
export function remoteKind(source: string): 'path' | 'http' | 'git' {
  if (/^\.{0,2}\//.test(source)) return 'path'
  if (/^(git|ssh):\/\//.test(source) || /^[A-Za-z0-9_.-]+@[A-Za-z0-9_.-]+:/.test(source)) return 'git'
  if (!/^https?:\/\//.test(source)) return 'path'
  return /\.git$/.test(source.split(/[?#]/, 1)[0] as string) ? 'git' : 'http'
}

export function gitRemote(source: string): string {
  return source
}

/** The last segment of the URL's path; needed when the destination is a directory (F30). */
export function remoteFileName(url: string, destination: string): string {
  const segment = decodeURIComponent(new URL(url).pathname.split('/').pop() ?? '')
  const name = segment.includes('/') || segment === '..' || segment === '.' ? '' : segment
  if (name !== '') return name
  if (!/(^|\/)\.?$/.test(destination)) return 'download'
  throw new TbuildError('ADD_FILENAME', `cannot determine filename for source ${url}`, { hint: 'end the destination with a file name' })
}
