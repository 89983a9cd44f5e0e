'use strict'
const { createHash } = require('node:crypto')
const { readFileSync } = require('node:fs')
const { createRequire } = require('node:module')
const { dirname, join } = require('node:path')
const { Script } = require('node:vm')

const file = join(__dirname, '../dist/cli.cjs')
const cache = join(__dirname, '../dist/cli.cache')

/** V8 compares only the length of a source with that of its cached code, so the digest of the source stands before the code. */
const digestOf = (source) => createHash('sha256').update(source).digest()

/**
 * The bundled command line, with the code that V8 compiled at installation: half of a short command's time would be compiling. Node 22 has
 * enableCompileCache, but writes outside the package. Another version of V8 rejects the code and compiles as always.
 */
function loadCommand() {
  const source = readFileSync(file)
  const cachedData = readCode(source)
  // The bundle is ASCII.
  const wrapped = `(function (exports, require, module, __filename, __dirname) {${source.toString('latin1')}\n})`
  const script = new Script(wrapped, { filename: file, ...(cachedData && { cachedData }) })
  const module = { exports: {} }
  script.runInThisContext()(module.exports, createRequire(file), module, file, dirname(file))
  return { main: module.exports.main, code: () => Buffer.concat([digestOf(source), script.createCachedData()]) }
}

function readCode(source) {
  try {
    const data = readFileSync(cache)
    return data.subarray(0, 32).equals(digestOf(source)) ? data.subarray(32) : undefined
  } catch (error) {
    if (error.code === 'ENOENT') return undefined
    throw error
  }
}

module.exports = { loadCommand, cache }
