// Compiles the grammars and bundles src/ into dist/. Native parts: scripts/native.mjs.
import { execFileSync } from 'node:child_process'
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = join(dirname(fileURLToPath(import.meta.url)), '..')
const entries = { cli: 'src/cli/main.ts', index: 'src/index.ts' }
/** Written last, so that its time is later than that of everything it was made of. */
const stamp = join(root, 'dist/stamp')

/** nearleyc's output is data that grammar/ wraps with types. */
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
  const { build } = await import('esbuild')
  const { metafile } = await build({
    absWorkingDir: root,
    entryPoints: Object.fromEntries(Object.entries(entries).filter(([, file]) => existsSync(join(root, file)))),
    outdir: 'dist',
    bundle: true,
    // A command loads only the chunks that it needs.
    splitting: true,
    metafile: true,
    minifySyntax: true,
    minifyWhitespace: true,
    platform: 'node',
    format: 'esm',
    target: 'node20',
    legalComments: 'none',
    // CommonJS dependencies that are bundled into ESM still call require() for Node's own modules.
    banner: { js: "import { createRequire as __createRequire } from 'node:module'; const require = __createRequire(import.meta.url);" },
  })
  removeOldChunks(Object.keys(metafile.outputs))
  writeFileSync(stamp, '')
}

/** Chunks of earlier bundles go when they are an hour old: a tbuild that is running may still load one. */
function removeOldChunks(outputs) {
  const current = new Set(['dist/stamp', ...outputs])
  for (const name of readdirSync(join(root, 'dist'))) {
    const path = join(root, 'dist', name)
    if (!current.has(`dist/${name}`) && Date.now() - statSync(path).mtimeMs > 3_600_000) rmSync(path, { recursive: true })
  }
}

/** True when nothing that the bundle is made of is newer than it. */
function isFresh() {
  if (!existsSync(stamp)) return false
  const made = statSync(stamp).mtimeMs
  const older = (path) => {
    const stat = statSync(path)
    if (!stat.isDirectory()) return stat.mtimeMs <= made
    return stat.mtimeMs <= made && readdirSync(path).every((name) => name === 'generated' || older(join(path, name)))
  }
  return ['src', 'grammar', 'package.json', 'scripts/build.mjs'].every((name) => older(join(root, name)))
}

export async function buildIfNeeded() {
  if (isFresh()) return
  compileGrammars()
  await bundle()
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  compileGrammars()
  await bundle()
}
