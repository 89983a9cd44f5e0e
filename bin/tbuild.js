#!/usr/bin/env node
import { loadCommand } from './load.cjs'

process.exitCode = await loadCommand().main(process.argv.slice(2), process)
