// Compiles the grammars and bundles src/ into dist/: cli.cjs with its code cache, index.js, types. Native parts: scripts/native.mjs.
import { execFileSync, spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, statSync, utimesSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = join(dirname(fileURLToPath(import.meta.url)), '..')
/** Written last, with the time at which the work began: what is older is in the bundle. */
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

/** Each is one file: nothing is loaded later that a rebuild could have replaced. */
export async function bundle() {
  mkdirSync(join(root, 'dist'), { recursive: true })
  await Promise.all([bundleCommand(), bundleLibrary()])
  await makeCodeCache()
}

const COMMON = {
  absWorkingDir: root,
  bundle: true,
  write: false,
  minifySyntax: true,
  minifyWhitespace: true,
  platform: 'node',
  target: 'node20',
  legalComments: 'none',
  charset: 'ascii',
  logLevel: 'silent',
}

/** CommonJS, in which an import() is evaluated when it is reached, and so is a module of Node. */
async function bundleCommand() {
  const { build } = await import('esbuild')
  const { outputFiles } = await build({
    ...COMMON,
    entryPoints: ['src/cli/main.ts'],
    format: 'cjs',
    supported: { 'dynamic-import': false },
    define: { 'import.meta.url': '__fileUrl' },
    banner: {
      js: `const __fileUrl=require('node:url').pathToFileURL(__filename).href;
const __late=(name)=>new Proxy({},{get:(_,key)=>key==='default'?require(name):require(name)[key]});`,
    },
  })
  writeAtomically(join(root, 'dist/cli.cjs'), marked(asFunction(loadLate(outputFiles[0].text))))
}

/** As bin/load.cjs runs it: without a copy of a megabyte for the wrapper. */
function asFunction(code) {
  return `(function (exports, require, module, __filename, __dirname) {${code}\n})\n`
}

/** With a first line that no other bundle has, so that nobody need read all of it to know which it is. */
function marked(code) {
  return `// ${createHash('sha256').update(code).digest('hex')}\n${code}`
}

/**
 * Modules of Node that a cached build does not need are loaded at their first use: it saves a tenth of the time of such a build. A default import of one is
 * the module itself.
 */
function loadLate(code) {
  const late =
    'child_process|crypto|fs/promises|http|https|net|readline|stream|stream/promises|stream/web|timers/promises|tls|tty|worker_threads|zlib'
  return code.replace(
    new RegExp(`=(?:require\\(("node:(?:${late})")\\)|__toESM\\(require\\(("node:(?:${late})")\\),1\\))(?=[,;}])`, 'g'),
    '=__late($1$2)',
  )
}

async function bundleLibrary() {
  const { build } = await import('esbuild')
  const { outputFiles } = await build({
    ...COMMON,
    entryPoints: ['src/index.ts'],
    format: 'esm',
    // CommonJS dependencies that are bundled into ESM still call require() for Node's own modules.
    banner: { js: "import { createRequire as __createRequire } from 'node:module'; const require = __createRequire(import.meta.url);" },
  })
  writeAtomically(join(root, 'dist/index.js'), outputFiles[0].text)
}

function makeCodeCache() {
  return finish(spawn(process.execPath, [join(root, 'scripts/code-cache.mjs')], { stdio: 'ignore' }))
}

const finish = (child) => new Promise((resolve) => child.on('close', resolve))

function writeAtomically(path, data) {
  const temporary = `${path}.${process.pid}.tmp`
  writeFileSync(temporary, data)
  renameSync(temporary, path)
}

/** Declarations for users of the library, in dist/types. What is wrong with types, `npm run typecheck` says. */
function declareTypes() {
  const compiler = join(dirname(createRequire(import.meta.url).resolve('typescript/package.json')), 'bin/tsc')
  return finish(spawn(process.execPath, [compiler, '-p', join(root, 'scripts/types.json')], { stdio: 'ignore' }))
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
  return ['src', 'grammar', 'package.json', 'scripts/build.mjs', 'scripts/code-cache.mjs', 'bin/load.cjs'].every((name) =>
    older(join(root, name)),
  )
}

export async function buildIfNeeded() {
  if (isFresh()) return
  await buildAll()
}

async function buildAll() {
  const begun = new Date()
  compileGrammars()
  await Promise.all([declareTypes(), bundle()])
  writeAtomically(stamp, '')
  utimesSync(stamp, begun, begun)
}

if (process.argv[1] === fileURLToPath(import.meta.url)) await buildAll()
