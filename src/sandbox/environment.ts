import { TbuildError } from '../base/errors.ts'

const nameOf = (entry: string): string => entry.slice(0, entry.indexOf('='))

/**
 * The process's environment: entries are KEY=value and nothing else (CVE-2026-57231: a bare name must not import the host's value), the last of a name
 * wins at its first place, HOME is filled in when it is absent or empty (A14).
 */
export function environment(entries: readonly string[], home: string): string[] {
  const values = new Map<string, string>()
  for (const entry of entries) {
    if (entry.indexOf('=') <= 0 || entry.includes('\0')) {
      throw new TbuildError('ENV_INVALID', `invalid environment entry ${JSON.stringify(entry.slice(0, 100))}`, {
        hint: 'entries are KEY=value',
      })
    }
    values.set(nameOf(entry), entry)
  }
  if (!values.has('HOME') || values.get('HOME') === 'HOME=') values.set('HOME', `HOME=${home}`)
  return [...values.values()]
}

/** The directories of PATH; none when it is not set. */
export function searchPath(entries: readonly string[]): string[] {
  const path = entries.findLast((entry) => entry.startsWith('PATH='))
  return path === undefined ? [] : path.slice('PATH='.length).split(':')
}
