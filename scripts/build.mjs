// Compiles the grammars and bundles src/ into dist/. Native parts: scripts/setup.mjs.
import { execFileSync } from 'node:child_process'
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { build } from 'esbuild'

const root = join(dirname(fileURLToPath(import.meta.url)), '..')

/** nearleyc writes CommonJS or its own ESM preset; the result is data that grammar/ wraps with types. */
export function compileGrammars() {
  const compiler = createRequire(import.meta.url).resolve('nearley/bin/nearleyc.js')
  mkdirSync(join(root, 'grammar/generated'), { recursive: true })
  for (const name of ['dockerfile', 'word']) {
    const source = join(root, `grammar/${name}.ne`)
    if (!existsSync(source)) continue
    const text = execFileSync(process.execPath, [compiler, source], { encoding: 'utf8' })
    const target = join(root, `grammar/generated/${name}.js`)
    if (!existsSync(target) || readFileSync(target, 'utf8') !== text) writeFileSync(target, text)
  }
}

export async function bundle() {
  const entryPoints = { cli: 'src/cli/main.ts', index: 'src/index.ts' }
  await build({
    absWorkingDir: root,
    entryPoints: Object.fromEntries(Object.entries(entryPoints).filter(([, file]) => existsSync(join(root, file)))),
    outdir: 'dist',
    bundle: true,
    splitting: true,
    platform: 'node',
    format: 'esm',
    target: 'node20',
    legalComments: 'none',
    // CommonJS dependencies that are bundled into ESM still call require() for Node's own modules.
    banner: { js: "import { createRequire as __createRequire } from 'node:module'; const require = __createRequire(import.meta.url);" },
  })
}

compileGrammars()
await bundle()
