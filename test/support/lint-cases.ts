import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'

/** One Dockerfile and what the checks say about it. test/corpus/lint/README.md describes the files. */
export interface LintCase {
  readonly name: string
  readonly dockerfile: string
  readonly ignore: string | undefined
  /** As on the command line: `--target x --build-arg A=1`. */
  readonly options: readonly string[]
  /** Why the peer says something else: the expectation is then BuildKit 0.32's by its source. */
  readonly differs: string | undefined
  /** `2-4 Rule: message`, in the order in which they are reported; last `error: message`. */
  readonly expected: readonly string[]
}

export interface LintFile {
  readonly path: string
  readonly cases: readonly LintCase[]
}

export function loadLintFiles(folder: string): LintFile[] {
  const names = readdirSync(folder).filter((name) => name.endsWith('.txt'))
  return names.sort().map((name) => ({ path: join(folder, name), cases: parseLintFile(readFileSync(join(folder, name), 'utf8')) }))
}

export function parseLintFile(text: string): LintCase[] {
  const [, ...blocks] = `\n${text}`.split('\n===== ')
  return blocks.map(parseCase)
}

function parseCase(block: string): LintCase {
  const [head = '', ...parts] = `${block}\n`.replace(/\n+$/, '\n').split('\n----- ')
  const sections = new Map(
    parts.map((part) => {
      const [title = '', ...lines] = part.split('\n')
      const [key = '', ...value] = title.split(': ')
      return [key, { value: value.join(': '), body: lines.join('\n') }] as const
    }),
  )
  const body = (key: string) => sections.get(key)?.body
  return {
    name: head.trim(),
    dockerfile: body('Dockerfile') ?? '',
    ignore: body('ignore'),
    options: sections.get('options')?.value.split(' ') ?? [],
    differs: sections.get('differs')?.value,
    expected: (body('warnings') ?? '').split('\n').filter((line) => line !== ''),
  }
}

/** The same text, with another result. */
export function printLintCase({ name, dockerfile, ignore, options, differs }: LintCase, expected: readonly string[]): string {
  const section = (title: string, body = '') => `----- ${title}\n${body === '' || body.endsWith('\n') ? body : `${body}\n`}`
  return [
    `===== ${name}\n`,
    options.length === 0 ? '' : section(`options: ${options.join(' ')}`),
    differs === undefined ? '' : section(`differs: ${differs}`),
    ignore === undefined ? '' : section('ignore', ignore),
    section('Dockerfile', dockerfile),
    section('warnings', expected.join('\n')),
  ].join('')
}

export function optionValue({ options }: LintCase, name: string): string | undefined {
  const at = options.indexOf(name)
  return at < 0 ? undefined : options[at + 1]
}

export function buildArgsOf({ options }: LintCase): Map<string, string> {
  const pairs = options.flatMap((option, at) => (option === '--build-arg' ? [options[at + 1] as string] : []))
  return new Map(pairs.map((pair) => [pair.slice(0, pair.indexOf('=')), pair.slice(pair.indexOf('=') + 1)]))
}
