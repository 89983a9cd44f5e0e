import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expandWord, expandWords } from '../../src/dockerfile/word.ts'

// words/README.md says how the tables are written.
const folder = join(import.meta.dirname, 'words')

interface Row {
  line: number
  word: string
  expected: string
  env: Map<string, string>
  options: { escape: '\\' | '`'; raw: boolean }
}

function readTable(file: string): Row[] {
  const env = new Map<string, string>()
  let options: Row['options'] = { escape: '\\', raw: false }
  const rows: Row[] = []
  for (const [index, line] of readFileSync(join(folder, file), 'utf8').split('\n').entries()) {
    const variable = /^env ([^=]+)=(.*)$/.exec(line)
    const escaping = /^escape ([\\`])$/.exec(line)
    const raw = /^raw (on|off)$/.exec(line)
    const row = /^(.*?) =>(?: (.*))?$/.exec(line)
    if (variable) env.set(variable[1] as string, variable[2] as string)
    else if (escaping) options = { ...options, escape: escaping[1] as '\\' }
    else if (raw) options = { ...options, raw: raw[1] === 'on' }
    else if (row) rows.push({ line: index + 1, word: row[1] as string, expected: row[2] ?? '', env: new Map(env), options })
    else if (line !== '' && !line.startsWith('#')) throw new Error(`${file}:${index + 1}: not a row`)
  }
  return rows
}

function outcome(row: Row): string {
  try {
    if (row.expected.startsWith('words:')) return `words: ${expandWords(row.word, row.env, row.options).join('|')}`
    return expandWord(row.word, row.env, row.options).result
  } catch (error) {
    expect((error as { code?: string }).code).toBe('EXPANSION_FAILED')
    const message = (error as Error).message
    const reason = row.expected.replace(/^error: /, '')
    return message.endsWith(`: ${reason}`) ? row.expected : `error: ${message}`
  }
}

describe.each(readdirSync(folder).filter((name) => name.endsWith('.txt')))('X words/%s', (file) => {
  const rows = readTable(file)

  test('has rows', () => expect(rows.length).toBeGreaterThan(5))

  test.each(rows)('$line: $word', (row) => expect(outcome(row)).toBe(row.expected))
})
