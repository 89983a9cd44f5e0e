import { createHash } from 'node:crypto'
import { transformSync, version } from 'esbuild'

/** TypeScript → ESM for jest: types are stripped, nothing is checked (`npm run typecheck` does). */
export default {
  process(source, path) {
    const { code, map } = transformSync(source, { loader: 'ts', format: 'esm', target: 'node20', sourcefile: path, sourcemap: 'both' })
    return { code, map }
  },
  getCacheKey(source, path) {
    return createHash('sha256').update([version, path, source].join('\0')).digest('hex')
  },
}
