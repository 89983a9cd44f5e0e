import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { isTbuildError } from '../../src/base/errors.ts'
import { formatPlace, type Span } from '../../src/base/span.ts'
import { parseStages } from '../../src/dockerfile/stages.ts'
import { printStages } from './print-stages.ts'

/**
 * parse/NAME/Dockerfile must give what parse/NAME/result says, parse-errors/NAME/Dockerfile fail with the text in parse-errors/NAME/error.
 * UPDATE_CORPUS=1 writes the expectations: read what it wrote before you commit it.
 */
const update = process.env.UPDATE_CORPUS === '1'

function cases(folder: string): string[] {
  return readdirSync(join(import.meta.dirname, folder)).sort()
}

function expectFile(file: string, actual: string): void {
  if (update) writeFileSync(file, actual)
  expect(actual).toBe(existsSync(file) ? readFileSync(file, 'utf8') : '')
}

/** Bytes that are not UTF-8 become U+FFFD, and a byte order mark stays for the parser to see. */
function read(folder: string, name: string) {
  const bytes = readFileSync(join(import.meta.dirname, folder, name, 'Dockerfile'))
  return { name: 'Dockerfile', text: new TextDecoder('utf-8', { ignoreBOM: true }).decode(bytes) }
}

describe('what parses', () => {
  test.each(cases('parse'))('%s', (name) => {
    expectFile(join(import.meta.dirname, 'parse', name, 'result'), printStages(parseStages(read('parse', name))))
  })
})

describe('what is refused', () => {
  test.each(cases('parse-errors'))('%s', (name) => {
    let message = 'it parses'
    try {
      parseStages(read('parse-errors', name))
    } catch (error) {
      if (!isTbuildError(error)) throw error
      message = `${formatPlace(error.span as Span)}: ${error.code}: ${error.message}\n${error.hint === undefined ? '' : `hint: ${error.hint}\n`}`
    }
    expectFile(join(import.meta.dirname, 'parse-errors', name, 'error'), message)
  })
})
