import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { askTbuild, QUESTIONS, replyLines } from '../support/questions.ts'

// questions/README.md says how the files are written.
const folder = join(import.meta.dirname, 'questions')
const work = mkdtempSync(join(tmpdir(), 'tbuild-questions-'))
afterAll(() => rmSync(work, { recursive: true, force: true }))

interface Case {
  readonly name: string
  readonly options: readonly string[]
  readonly sections: ReadonlyMap<string, string>
}

function readCases(file: string): Case[] {
  const [, ...blocks] = `\n${readFileSync(join(folder, file), 'utf8')}`.split('\n===== ')
  return blocks.map((block) => {
    const [name = '', ...parts] = `${block.replace(/\n+$/, '')}\n`.split(/^----- /m)
    const sections = new Map(parts.map((part) => [part.slice(0, part.indexOf('\n')), unpacked(part.slice(part.indexOf('\n') + 1))]))
    const title = [...sections.keys()].find((key) => key.startsWith('options: ')) ?? 'options: '
    return { name: name.trim(), options: title.slice('options: '.length).split(' '), sections }
  })
}

function unpacked(text: string): string {
  const characters = text.replace(/\\e\{(\d+)\}/g, (_, code) => String.fromCharCode(Number(code)))
  return characters.replace(/\\r\{(.)(\d+)\}/g, (_, char: string, count) => char.repeat(Number(count)))
}

function pairsOf(options: readonly string[], name: string): Record<string, string> {
  const values = options.flatMap((option, at) => (option === name ? [options[at + 1] as string] : []))
  return Object.fromEntries(values.map((value) => [value.slice(0, value.indexOf('=')), value.slice(value.indexOf('=') + 1)]))
}

describe.each(readdirSync(folder).filter((name) => name.endsWith('.txt')))('%s', (file) => {
  test.each(readCases(file))('$name', async ({ options, sections }) => {
    const context = mkdtempSync(join(work, 'context-'))
    writeFileSync(join(context, 'Dockerfile'), sections.get('Dockerfile') ?? '')
    const ignore = sections.get('ignore')
    if (ignore !== undefined) writeFileSync(join(context, '.dockerignore'), ignore)
    const target = options[options.indexOf('--target') + 1]
    for (const question of QUESTIONS.filter((name) => sections.has(name))) {
      const reply = await askTbuild(question, {
        context,
        root: join(work, 'store'),
        buildContexts: { alpine: 'docker-image://scratch', ...pairsOf(options, '--build-context') },
        buildArgs: pairsOf(options, '--build-arg'),
        ...(options.includes('--target') && target !== undefined ? { target } : {}),
      })
      expect(replyLines(reply).join('\n')).toBe(sections.get(question)?.trimEnd())
    }
  })
})
