// Compiles the grammars and bundles src/ into dist/. Native parts: scripts/native.mjs.
import { execFileSync, spawn } from 'node:child_process'
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, statSync, utimesSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { basename, dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = join(dirname(fileURLToPath(import.meta.url)), '..')
const entries = { cli: 'src/cli/main.ts', index: 'src/index.ts' }
/** Written last: what is older than it is in the bundle. */
const stamp = join(root, 'dist/stamp')

/** nearleyc's output is data that grammar/ wraps with types. */
export function compileGrammars() {
  const compiler = createRequire(import.meta.url).resolve('nearley/bin/nearleyc.js')
  mkdirSync(join(root, 'grammar/generated'), { recursive: true })
  for (const name of ['dockerfile', 'word']) {
    const source = join(root, `grammar/${name}.ne`)
    const text = execFileSync(process.execPath, [compiler, source], { encoding: 'utf8' })
    const target = join(root, `grammar/generated/${name}.js`)
    if (!existsSync(target) || readFileSync(target, 'utf8') !== text) writeAtomically(target, text)
  }
}

export async function bundle() {
  const { build } = await import('esbuild')
  const { outputFiles } = await build({
    absWorkingDir: root,
    entryPoints: entries,
    outdir: 'dist',
    bundle: true,
    write: false,
    // A command loads only the chunks that it needs.
    splitting: true,
    minifySyntax: true,
    minifyWhitespace: true,
    platform: 'node',
    format: 'esm',
    target: 'node20',
    legalComments: 'none',
    // CommonJS dependencies that are bundled into ESM still call require() for Node's own modules.
    banner: { js: "import { createRequire as __createRequire } from 'node:module'; const require = __createRequire(import.meta.url);" },
  })
  install(outputFiles)
}

/**
 * Whoever starts meanwhile gets all of the old bundle or all of the new: chunks, named by their content, come first; then each entry replaces its old
 * one in one rename. Chunks of earlier bundles stay for an hour: a tbuild that is running may still load one.
 */
function install(files) {
  mkdirSync(join(root, 'dist'), { recursive: true })
  const isEntry = ({ path }) => Object.keys(entries).includes(basename(path, '.js'))
  const now = new Date()
  for (const file of [...files.filter((one) => !isEntry(one)), ...files.filter(isEntry)]) {
    if (!isEntry(file) && existsSync(file.path)) utimesSync(file.path, now, now)
    else writeAtomically(file.path, file.contents)
  }
  const current = new Set(files.map(({ path }) => path))
  for (const name of readdirSync(join(root, 'dist'))) {
    const path = join(root, 'dist', name)
    if (/-[A-Z0-9]{8}\.js$|\.tmp$/.test(name) && !current.has(path) && Date.now() - statSync(path).mtimeMs > 3_600_000) rmSync(path)
  }
}

function writeAtomically(path, data) {
  const temporary = `${path}.${process.pid}.tmp`
  writeFileSync(temporary, data)
  renameSync(temporary, path)
}

/** Declarations for users of the library, in dist/types. What is wrong with types, `npm run typecheck` says. */
function declareTypes() {
  const compiler = join(dirname(createRequire(import.meta.url).resolve('typescript/package.json')), 'bin/tsc')
  const child = spawn(process.execPath, [compiler, '-p', join(root, 'scripts/types.json')], { stdio: 'ignore' })
  return new Promise((resolve) => child.on('close', resolve))
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
  await buildAll()
}

async function buildAll() {
  compileGrammars()
  await Promise.all([declareTypes(), bundle()])
  writeAtomically(stamp, '')
}

if (process.argv[1] === fileURLToPath(import.meta.url)) await buildAll()
