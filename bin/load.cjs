'use strict'
const { readFileSync } = require('node:fs')
const { createRequire } = require('node:module')
const { dirname, join } = require('node:path')
const { Script } = require('node:vm')

const file = join(__dirname, '../dist/cli.cjs')
const cache = join(__dirname, '../dist/cli.cache')

/** Bytes of the bundle's first line, which tells it from every other bundle: `// <sha256 of the rest>`. */
const MARK = 3 + 64

/** Where the code begins in its file: V8 copies what does not begin at a whole word. */
const CODE = 72

/**
 * The bundled command line, with the code that V8 compiled at installation: half of a short command's time would be compiling. Node 22 has
 * enableCompileCache, but writes outside the package. Another version of V8 rejects the code and compiles as always.
 */
function loadCommand() {
  const { mapText, mapBytes } = addon()
  // The bundle is ASCII, and one expression: a function of what a module of CommonJS is given. V8 looks at little of it, so it is not read.
  const source = mapText(file)
  const cachedData = readCode(source, mapBytes)
  const script = new Script(source, { filename: file, ...(cachedData && { cachedData }) })
  const module = { exports: {} }
  script.runInThisContext()(module.exports, createRequire(file), module, file, dirname(file))
  return {
    main: module.exports.main,
    code: () => Buffer.concat([Buffer.from(source.slice(0, MARK).padEnd(CODE)), script.createCachedData()]),
  }
}

/** What reads files without copies: of the addon, and Node's own where that is not compiled, not for this machine, or older. The command says so when it needs it. */
function addon() {
  const module = { exports: {} }
  try {
    process.dlopen(module, join(__dirname, '../build/sys.node'))
  } catch {}
  return { mapText: (path) => readFileSync(path, 'latin1'), mapBytes: readFileSync, ...module.exports }
}

/**
 * V8 compares only the length of a source with that of its cached code, so the mark of the bundle stands before the code. Code that is not there, empty or
 * cannot be read costs time only.
 */
function readCode(source, mapBytes) {
  try {
    const data = mapBytes(cache)
    return data.latin1Slice(0, MARK) === source.slice(0, MARK) ? data.subarray(CODE) : undefined
  } catch {
    return undefined
  }
}

module.exports = { loadCommand, cache }
