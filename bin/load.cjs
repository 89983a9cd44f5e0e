'use strict'
const { readFileSync } = require('node:fs')
const { createRequire } = require('node:module')
const { dirname, join } = require('node:path')
const { Script } = require('node:vm')

const file = join(__dirname, '../dist/cli.cjs')
const cache = join(__dirname, '../dist/cli.cache')

/** Bytes of the bundle's first line, which tells it from every other bundle: `// <sha256 of the rest>`. */
const MARK = 3 + 64

/**
 * The bundled command line, with the code that V8 compiled at installation: half of a short command's time would be compiling. Node 22 has
 * enableCompileCache, but writes outside the package. Another version of V8 rejects the code and compiles as always.
 */
function loadCommand() {
  // The bundle is ASCII, and one expression: a function of what a module of CommonJS is given.
  const source = readFileSync(file, 'latin1')
  const cachedData = readCode(source)
  const script = new Script(source, { filename: file, ...(cachedData && { cachedData }) })
  const module = { exports: {} }
  script.runInThisContext()(module.exports, createRequire(file), module, file, dirname(file))
  return { main: module.exports.main, code: () => Buffer.concat([Buffer.from(source.slice(0, MARK)), script.createCachedData()]) }
}

/** V8 compares only the length of a source with that of its cached code, so the mark of the bundle stands before the code. */
function readCode(source) {
  try {
    const data = readFileSync(cache)
    return data.latin1Slice(0, MARK) === source.slice(0, MARK) ? data.subarray(MARK) : undefined
  } catch (error) {
    if (error.code === 'ENOENT') return undefined
    throw error
  }
}

module.exports = { loadCommand, cache }
