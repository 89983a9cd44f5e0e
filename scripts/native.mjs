// Compiles runner/ into build/runner, and addon/ with what it links of third-party/ into build/sys.node, when their sources changed since the last time.
import { execFile, spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { availableParallelism } from 'node:os'
import { basename, dirname, join, relative } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { installPackages } from './packages.mjs'

const root = join(dirname(fileURLToPath(import.meta.url)), '..')
const output = join(root, 'build')
const WARNINGS = ['-Wall', '-Wextra', '-Wshadow', '-Wconversion']
const HARDENED = ['-O2', '-fstack-protector-strong', '-U_FORTIFY_SOURCE', '-D_FORTIFY_SOURCE=2']
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

let found

/** The C compiler: $CC, cc, gcc or clang; on Debian as root it is installed when there is none. */
function findCompiler() {
  found ??= lookForCompiler()
  return found
}

function lookForCompiler() {
  const candidates = [process.env.CC, 'cc', 'gcc', 'clang'].filter(Boolean)
  const find = () => candidates.find((name) => run(name, ['--version']).ok)
  const present = find()
  if (present) return present
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

const execute = promisify(execFile)

/** Compilers that run at once. */
let running = 0
const waiting = []

/** What the compiler said when it failed; undefined when it did not. */
async function compiler(args) {
  if (running === availableParallelism()) await new Promise((resolve) => waiting.push(resolve))
  else running += 1
  try {
    await execute(findCompiler(), args, { encoding: 'utf8' })
    return undefined
  } catch (error) {
    return `${error.stdout ?? ''}${error.stderr ?? error.message}`
  } finally {
    const next = waiting.shift()
    if (next === undefined) running -= 1
    else next()
  }
}

/** What all give; what the first one threw when all have ended. */
async function all(promises) {
  const results = await Promise.allSettled(promises)
  for (const { status, reason } of results) if (status === 'rejected') throw reason
  return results.map(({ value }) => value)
}

/** The largest first, so that none is left alone at the end. */
const bySize = (files) => files.toSorted((a, b) => statSync(b).size - statSync(a).size)

/**
 * Compiles the files of a part side by side, and links them with `objects` by the first of `links` (lists of flags) that works; writes `target` in one rename. It
 * is compiled again when a file, a flag or an object has changed.
 */
async function compile({ folder, target, flags, links, objects = [], extra = [] }) {
  const stamp = `${target}.stamp`
  const stamps = objects.map((file) => readFileSync(`${file}.stamp`, 'utf8'))
  const digest = digestOf(folder, JSON.stringify([process.arch, flags, links, stamps]))
  if (existsSync(target) && existsSync(stamp) && readFileSync(stamp, 'utf8') === digest) return
  mkdirSync(output, { recursive: true })
  const work = mkdtempSync(`${target}.`)
  try {
    const own = await all(
      bySize([...sourcesOf(folder), ...extra]).map((source, index) => compileFile(source, join(work, `${index}.o`), flags)),
    )
    const linked = join(work, 'linked')
    let problem = ''
    for (const link of links) {
      problem = await compiler([...flags, ...link, ...own, ...objects, '-o', linked])
      if (problem === undefined) break
    }
    if (problem !== undefined) throw new Error(`tbuild: ${findCompiler()} cannot link ${target}:\n${problem}`)
    renameSync(linked, target)
    writeFileSync(stamp, digest)
  } finally {
    rmSync(work, { recursive: true, force: true })
  }
}

async function compileFile(source, object, flags) {
  const problem = await compiler([...flags, '-c', source, '-o', object])
  if (problem !== undefined) throw new Error(`tbuild: ${findCompiler()} cannot compile ${source}:\n${problem}`)
  return object
}

/** Without what only a debugger reads; the sanitizers' reports need it. */
const stripped = (folder) => (isSanitized(folder) ? [] : ['-s'])

async function compileRunner() {
  // What a run starts has no environment: the sanitizers' settings stand in the program.
  const settings = isSanitized('runner') ? [`-DSANITIZER_LOG="${join(output, SANITIZER_LOG)}"`, '-static-libasan', '-static-libubsan'] : []
  // Static: it starts in a third of the time and loads nothing that an image could replace.
  const links = isSanitized('runner') ? [[]] : [['-s', '-static'], ['-s']]
  const extra = isSanitized('runner') ? [join(root, 'scripts/sanitized.c')] : []
  await compile({ folder: 'runner', target: join(output, 'runner'), flags: [...compilerFlags('runner'), ...settings], links, extra })
}

/** What a sanitizer finds in a process that has no other place to tell it: files of this name and the number of the process, in build/. */
export const SANITIZER_LOG = 'sanitizer'

/** Where node_api.h is. */
export const addonHeaders = () => createRequire(import.meta.url)('node-api-headers').include_dir

/** What the addon links, each with what its sources are told. */
const LIBRARIES = {
  'third-party/libdeflate': [],
  // No assembler, which only one processor has; nothing that others could call, and no hooks for them.
  'third-party/zstd': ['-DZSTD_DISABLE_ASM=1', '-DZSTD_TRACE=0', '-DZSTDLIB_VISIBLE=', '-DZSTDERRORLIB_VISIBLE='],
}

/** One object of others' code, as they wrote it: hardened like ours, but what our warnings say of it is of no use. */
async function compileLibrary([folder, defines]) {
  const target = join(output, `${basename(folder)}.o`)
  const flags = ['-std=gnu11', '-w', ...buildFlags('addon'), '-fPIC', '-fvisibility=hidden', ...defines]
  await compile({ folder, target, flags, links: [['-nostdlib', '-r']] })
  return target
}

async function compileAddon() {
  const objects = await all(Object.entries(LIBRARIES).map(compileLibrary))
  // Nothing of ours is for others, and `fail` would meet a function of that name in node. Nor is node's code for us, which may have the same libraries, of
  // other versions: hence -Bsymbolic.
  const flags = [...compilerFlags('addon'), '-fPIC', '-fvisibility=hidden', `-I${addonHeaders()}`]
  const links = [['-shared', '-Wl,-Bsymbolic', ...stripped('addon')]]
  await compile({ folder: 'addon', target: join(output, 'sys.node'), flags, links, objects })
}

/** Both parts, all their files side by side. */
export async function compileNative() {
  await all([compileRunner(), compileAddon()])
}

if (process.argv[1] === fileURLToPath(import.meta.url)) await compileNative()
