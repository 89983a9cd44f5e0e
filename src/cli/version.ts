import { readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

/** The version in the package.json above this file, whether it runs from src/ or from dist/. */
export function version(): string {
  for (let folder = dirname(fileURLToPath(import.meta.url)); ; folder = dirname(folder)) {
    try {
      const { name, version } = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8')) as { name?: string; version?: string }
      if (name === 'tbuild' && version !== undefined) return version
    } catch (error) {
      if ((error as { code?: string }).code !== 'ENOENT') throw error
    }
    if (folder === dirname(folder)) return 'unknown'
  }
}
