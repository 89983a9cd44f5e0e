/**
 * The name of a downloaded file (F30; BuildKit's getFileName): the last segment of the URL's path, unless the path ends in a slash; then the
 * server's Content-Disposition; then `download`.
 */
export function fileNameOf(url: URL, disposition: string | undefined): string {
  const path = url.pathname
  if (path !== '' && !path.endsWith('/')) {
    const base = safeName(decode(path.slice(path.lastIndexOf('/') + 1)))
    if (base !== undefined) return base
  }
  return safeName(dispositionName(disposition)) ?? 'download'
}

function decode(segment: string): string {
  try {
    return decodeURIComponent(segment)
  } catch {
    return segment
  }
}

function dispositionName(disposition: string | undefined): string | undefined {
  if (disposition === undefined) return undefined
  const extended = /;\s*filename\*\s*=\s*UTF-8''([^;\s]+)/i.exec(disposition)
  if (extended) return decode(extended[1] as string)
  const plain = /;\s*filename\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^;\s"]+))/i.exec(disposition)
  return plain?.[1]?.replace(/\\(.)/g, '$1') ?? plain?.[2]
}

/** BuildKit 4f26c2023: one component, no control characters, neither `.` nor `..`. */
function safeName(name: string | undefined): string | undefined {
  const base = name?.replaceAll('\\', '/').split('/').at(-1) ?? ''
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is refused
  if (base === '' || base === '.' || base === '..' || /[\u0000-\u001f\u007f-\u009f]/.test(base)) return undefined
  return Buffer.byteLength(base) > 255 ? undefined : base
}
