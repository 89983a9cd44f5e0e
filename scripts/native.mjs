// Compiles runner/ into build/runner, and addon/ with libdeflate into build/sys.node, when their sources changed since the last time.
import { spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { basename, dirname, join, relative } from 'node:path'
import { fileURLToPath } from 'node:url'
import { installPackages } from './packages.mjs'

const root = join(dirname(fileURLToPath(import.meta.url)), '..')
const output = join(root, 'build')
const WARNINGS = ['-Wall', '-Wextra', '-Wshadow', '-Wconversion']
const HARDENED = ['-O2', '-s', '-fstack-protector-strong', '-U_FORTIFY_SOURCE', '-D_FORTIFY_SOURCE=2']
const SANITIZED = [
  '-g',
  '-O1',
  '-fsanitize=address,undefined,float-cast-overflow',
  '-fno-sanitize-recover=undefined,float-cast-overflow',
  '-fno-omit-frame-pointer',
]

/** `npm run check-native` names one: it wants a runner that is not static, and names of functions. */
const isSanitized = (folder, environment = process.env) => environment.TBUILD_SANITIZE === folder

const buildFlags = (folder, environment) => (isSanitized(folder, environment) ? SANITIZED : HARDENED)

/** In CI a warning ends the build; a user's compiler may know newer ones. */
export function compilerFlags(folder, environment = process.env) {
  const strict = environment.CI === undefined ? [] : ['-Werror']
  return ['-std=gnu11', ...WARNINGS, ...strict, ...buildFlags(folder, environment)]
}

function run(command, args) {
  const result = spawnSync(command, args, { encoding: 'utf8' })
  return { ok: result.status === 0, missing: result.error?.code === 'ENOENT', text: `${result.stdout ?? ''}${result.stderr ?? ''}` }
}

/** The C compiler: $CC, cc, gcc or clang; on Debian as root it is installed when there is none. */
function findCompiler() {
  const candidates = [process.env.CC, 'cc', 'gcc', 'clang'].filter(Boolean)
  const find = () => candidates.find((name) => run(name, ['--version']).ok)
  const found = find()
  if (found) return found
  installPackages(['gcc', 'libc6-dev'], () => find() !== undefined)
  const installed = find()
  if (installed) return installed
  throw new Error(
    'tbuild needs a C compiler for its sandbox: install gcc and libc6-dev (Debian), gcc and glibc-static (Fedora), or build-base (Alpine)',
  )
}

/** The files of a part, `ending` in .c or .h, in an order that does not depend on the file system. */
function filesOf(folder, ending) {
  return readdirSync(join(root, folder), { recursive: true })
    .filter((name) => ending.test(name))
    .sort()
    .map((name) => join(root, folder, name))
}

/** The .c files of runner/, addon/ or what they link. */
export const sourcesOf = (folder) => filesOf(folder, /\.c$/)

function digestOf(folder, extra) {
  const hash = createHash('sha256').update(extra)
  for (const file of filesOf(folder, /\.[ch]$/)) hash.update(relative(root, file)).update(readFileSync(file))
  return hash.digest('hex')
}

/** Compiles a folder with the first of `attempts` (lists of flags) that works, and links `objects`; writes `target` in one rename. */
function compile(folder, target, attempts, objects = []) {
  const stamp = `${target}.stamp`
  const digest = digestOf(folder, JSON.stringify([process.arch, attempts, objects.map((file) => readFileSync(`${file}.stamp`, 'utf8'))]))
  if (existsSync(target) && existsSync(stamp) && readFileSync(stamp, 'utf8') === digest) return
  const compiler = findCompiler()
  mkdirSync(output, { recursive: true })
  const temporary = `${target}.${process.pid}`
  let text = ''
  for (const flags of attempts) {
    const result = run(compiler, [...flags, ...sourcesOf(folder), ...objects, '-o', temporary])
    if (result.ok) {
      renameSync(temporary, target)
      writeFileSync(stamp, digest)
      return
    }
    text = result.text
  }
  rmSync(temporary, { force: true })
  throw new Error(`tbuild: ${compiler} cannot compile ${target}:\n${text}`)
}

function compileRunner() {
  const flags = compilerFlags('runner')
  // What a run starts has no environment: the sanitizers' settings stand in the program.
  const settings = [
    `-DSANITIZER_LOG="${join(output, SANITIZER_LOG)}"`,
    '-static-libasan',
    '-static-libubsan',
    join(root, 'scripts/sanitized.c'),
  ]
  // Static: it starts in a third of the time and loads nothing that an image could replace.
  compile('runner', join(output, 'runner'), isSanitized('runner') ? [[...flags, ...settings]] : [['-static', ...flags], flags])
}

/** What a sanitizer finds in a process that has no other place to tell it: files of this name and the number of the process, in build/. */
export const SANITIZER_LOG = 'sanitizer'

/** Where node_api.h is. */
export const addonHeaders = () => createRequire(import.meta.url)('node-api-headers').include_dir

/** One object of others' code, as they wrote it: hardened like ours, but what our warnings say of it is of no use. */
function compileLibrary(folder) {
  const object = join(output, `${basename(folder)}.o`)
  const flags = buildFlags('addon').filter((flag) => flag !== '-s')
  compile(folder, object, [['-std=gnu11', '-w', ...flags, '-fPIC', '-fvisibility=hidden', '-nostdlib', '-r']])
  return object
}

function compileAddon() {
  // Nothing of ours is for others, and `fail` would meet a function of that name in node. Nor is node's code for us, should it have libdeflate one day, of
  // another version: hence -Bsymbolic.
  const flags = ['-shared', '-fPIC', '-fvisibility=hidden', '-Wl,-Bsymbolic', `-I${addonHeaders()}`]
  compile('addon', join(output, 'sys.node'), [[...compilerFlags('addon'), ...flags]], [compileLibrary('third-party/libdeflate')])
}

export function compileNative() {
  compileRunner()
  compileAddon()
}

if (process.argv[1] === fileURLToPath(import.meta.url)) compileNative()
