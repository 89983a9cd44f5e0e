// Compiles runner/ into build/runner and runner/sys*.c of the addon into build/sys.node, when the sources changed since the last time.
import { spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { installPackages } from './packages.mjs'

const root = join(dirname(fileURLToPath(import.meta.url)), '..')
const source = join(root, 'runner')
const output = join(root, 'build')
/** In CI a warning ends the build; a user's compiler may know newer ones. */
const WARNINGS = ['-Wall', '-Wextra', '-Wshadow', '-Wconversion', ...(process.env.CI === undefined ? [] : ['-Werror'])]
/** `npm run check-native` sets it: the sanitizers want a runner that is not static, and names of functions. */
const SANITIZED = process.env.TBUILD_SANITIZE === '1'
const CHECKED = SANITIZED
  ? ['-g', '-O1', '-fsanitize=address,undefined', '-fno-sanitize-recover=undefined', '-fno-omit-frame-pointer']
  : ['-O2', '-s', '-fstack-protector-strong', '-U_FORTIFY_SOURCE', '-D_FORTIFY_SOURCE=2']
const FLAGS = ['-std=gnu11', ...WARNINGS, ...CHECKED]

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

function digestOf(files, extra) {
  const hash = createHash('sha256').update(extra)
  for (const file of files) hash.update(file).update(readFileSync(join(source, file)))
  return hash.digest('hex')
}

/** Runs the first of `attempts` (argument lists) that compiles; writes `target` in one rename. */
function compile(target, files, attempts) {
  const stamp = `${target}.stamp`
  const digest = digestOf(files, JSON.stringify([process.arch, attempts]))
  if (existsSync(target) && existsSync(stamp) && readFileSync(stamp, 'utf8') === digest) return
  const compiler = findCompiler()
  mkdirSync(output, { recursive: true })
  const temporary = `${target}.${process.pid}`
  let text = ''
  for (const args of attempts) {
    const result = run(compiler, [...args, '-o', temporary])
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

/** The addon's: the rest is the runner's. */
const ADDON = /^sys(-[a-z]+)?\.[ch]$/

function compileRunner() {
  const files = readdirSync(source)
    .filter((name) => /\.[ch]$/.test(name) && !ADDON.test(name))
    .sort()
  const objects = files.filter((name) => name.endsWith('.c')).map((name) => join(source, name))
  if (objects.length === 0) return
  // Static: it starts in a third of the time and loads nothing that an image could replace.
  const flags = [...FLAGS, ...objects]
  compile(join(output, 'runner'), files, SANITIZED ? [flags] : [['-static', ...flags], flags])
}

function compileAddon() {
  const files = readdirSync(source)
    .filter((name) => ADDON.test(name))
    .sort()
  const objects = files.filter((name) => name.endsWith('.c')).map((name) => join(source, name))
  if (objects.length === 0) return
  const headers = createRequire(import.meta.url)('node-api-headers').include_dir
  // Nothing of ours is for others, and `fail` would meet a function of that name in node.
  const flags = ['-shared', '-fPIC', '-fvisibility=hidden', `-I${headers}`]
  compile(join(output, 'sys.node'), files, [[...FLAGS, ...flags, ...objects]])
}

export function compileNative() {
  compileRunner()
  compileAddon()
}

compileNative()
