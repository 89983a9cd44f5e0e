#!/usr/bin/env node
'use strict'
const { loadCommand } = require('./load.cjs')

// Of a command that has not ended and has nothing left to wait for.
process.once('exit', () => {
  process.exitCode ??= 13
})
loadCommand()
  .main(process.argv.slice(2), process)
  .then((status) => {
    process.exitCode = status
  })
