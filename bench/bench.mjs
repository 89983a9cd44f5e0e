// Measures tbuild and every other builder that is found on the same work.   npm run bench -- --help
// The bench is TypeScript and plain Node reads none: it is bundled first, one folder below the root of the project, as its sources are.
import { rmSync } from 'node:fs'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { buildSync } from 'esbuild'

const root = join(import.meta.dirname, '..')
const outfile = join(root, `build/bench-${process.pid}.mjs`)
buildSync({
  entryPoints: [join(import.meta.dirname, 'main.ts')],
  outfile,
  bundle: true,
  platform: 'node',
  format: 'esm',
  target: 'node20',
  logLevel: 'warning',
})
const { main } = await import(pathToFileURL(outfile).href)
rmSync(outfile)
process.exitCode = await main(process.argv.slice(2))
