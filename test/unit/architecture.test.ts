import { readdirSync, readFileSync } from 'node:fs'
import { dirname, join, relative } from 'node:path'
import { describe, expect, test } from '@jest/globals'
import { parseSync } from 'oxc-parser'
import { nodesOf, type SyntaxNode } from '../support/syntax.ts'

const root = join(import.meta.dirname, '../..')

/** The floors of the house: a folder imports itself and lower floors, and folders of one floor do not know each other. */
const RANKS: readonly (readonly string[])[] = [
  ['base'],
  ['go'],
  ['values'],
  ['caller'],
  ['dockerfile', 'store'],
  ['tar'],
  ['snapshot', 'graph'],
  ['tree', 'sandbox', 'http', 'ssh'],
  ['this-machine'],
  ['sources', 'context'],
  ['layers'],
  ['image'],
  ['ops'],
  ['solve', 'export', 'explain', 'cache'],
  ['engine'],
  ['build.ts', 'inquiry.ts', 'plan.ts'],
  ['job'],
  ['cli', 'index.ts'],
]

/** Folders of one floor that may know each other, with the reason. */
const SIDEWAYS: readonly (readonly [string, string, string])[] = []

/** The one file or folder that may import a library: to replace it, this is the place. */
const IMPORTERS: Readonly<Record<string, string>> = {
  moo: 'grammar/',
  nearley: 'grammar/',
  'p-queue': 'src/solve/local-worker.ts',
  ora: 'src/cli/progress/tty.ts',
  commander: 'src/cli/program',
  'smol-toml': 'src/sources/registry/registries-conf.ts',
}

/** Longer files, with the reason why they are one. */
const LONG_FILES: Readonly<Record<string, string>> = {}

interface Source {
  readonly path: string
  readonly text: string
  readonly imports: readonly string[]
}

function sources(folder: string): Source[] {
  return readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.ts') && !name.startsWith('generated'))
    .map((name) => {
      const path = join(folder, name)
      const text = readFileSync(join(root, path), 'utf8')
      const found = text.matchAll(/(?:^|\n)\s*(?:import|export)\s[^'"]*?from\s+['"]([^'"]+)['"]|\bimport\(\s*['"]([^'"]+)['"]\s*\)/g)
      return { path, text, imports: [...found].map((match) => (match[1] ?? match[2]) as string) }
    })
}

const SRC = sources('src')
const ALL = [...SRC, ...sources('grammar')]
const BENCH = sources('bench')

/** `src/base/x.ts` → base, `src/build.ts` → build.ts, `grammar/x.ts` → grammar. */
function room(path: string): string {
  const [first = '', second = ''] = path.split('/')
  return first === 'src' ? second : first
}

function rank(name: string): number {
  return RANKS.findIndex((floor) => floor.includes(name))
}

function withoutComments(text: string): string {
  return text.replace(/\/\*[\s\S]*?\*\/|^\s*\/\/.*$/gm, '')
}

function target(source: Source, specifier: string): string | undefined {
  return specifier.startsWith('.') ? relative(root, join(root, dirname(source.path), specifier)) : undefined
}

describe('house', () => {
  test('every folder of src has a floor', () => {
    const unknown = [...new Set(SRC.map(({ path }) => room(path)))].filter((name) => rank(name) === -1 && name !== 'build-options.ts')
    expect(unknown).toEqual([])
  })

  test('imports point to the same folder or to a lower floor', () => {
    const wrong: string[] = []
    for (const source of SRC) {
      for (const specifier of source.imports) {
        const path = target(source, specifier)
        if (path === undefined) continue
        const [from, to] = [room(source.path), room(path)]
        // The contract of build() is types only; everything may speak of its options. The grammar belongs to dockerfile.
        if (from === to || to === 'build-options.ts' || from === 'build-options.ts') continue
        const allowed = to === 'grammar' ? from === 'dockerfile' : rank(to) < rank(from)
        const sideways = SIDEWAYS.some(([a, b]) => a === from && b === to)
        if (!allowed && !sideways) wrong.push(`${source.path} imports ${path}`)
      }
    }
    expect(wrong).toEqual([])
  })

  test('no file imports itself by way of others, types included, but for the commands and displays of the command line', () => {
    const imports = new Map(SRC.map((source) => [source.path, source.imports.flatMap((name) => target(source, name) ?? [])]))
    const reaches = (from: string, to: string): boolean => {
      const seen = new Set<string>()
      const open = [...(imports.get(from) ?? [])]
      for (let path = open.pop(); path !== undefined; path = open.pop()) {
        if (path === to) return true
        if (!seen.has(path)) open.push(...(imports.get(path) ?? []))
        seen.add(path)
      }
      return false
    }
    const engine = [...imports.keys()].filter((path) => !path.startsWith('src/cli/'))
    expect(engine.filter((path) => reaches(path, path))).toEqual([])
  })

  test.each(Object.entries(IMPORTERS))('only one place imports %s', (library, place) => {
    const wrong = ALL.filter(({ path, imports }) => imports.includes(library) && !path.startsWith(place)).map(({ path }) => path)
    expect(wrong).toEqual([])
  })

  test('every dependency is listed with its importer, but for those that a folder keeps to itself', () => {
    const { dependencies } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { dependencies: Record<string, string> }
    for (const library of Object.keys(dependencies)) {
      const rooms = new Set(
        ALL.filter(({ imports }) => imports.some((name) => name === library || name.startsWith(`${library}/`))).map(({ path }) =>
          room(path),
        ),
      )
      expect([library, rooms.size]).toEqual([library, 1])
    }
  })

  test('only the command line prints', () => {
    const prints = /\bconsole\.|process\.(?:stdout|stderr)\b/
    expect(SRC.filter(({ path, text }) => !path.startsWith('src/cli/') && prints.test(text)).map(({ path }) => path)).toEqual([])
  })

  test('private members are those of the language: #name', () => {
    const wrong = ALL.filter(({ text }) => /^\s+private (?!constructor\b)/m.test(withoutComments(text)))
    expect(wrong.map(({ path }) => path)).toEqual([])
  })

  test('no test casts what it gives to a type that it does not have, but for streams of Node', () => {
    const casts = /\bas unknown as (?!NodeJS\.)\w|\{\} as (?!Record<)[A-Z]/
    expect(
      sources('test')
        .filter(({ text }) => casts.test(text))
        .map(({ path }) => path),
    ).toEqual([])
  })

  test('nothing is exported as default, and there is no any', () => {
    const wrong = ALL.filter(({ text }) => /^export default\b/m.test(text) || /(?::|<|as) any\b/.test(withoutComments(text)))
    expect(wrong.map(({ path }) => path).filter((path) => !path.endsWith('.d.ts'))).toEqual([])
  })
})

describe('the environment', () => {
  /** The engine's other rooms ask their caller (src/caller). */
  const READERS = ['src/cli/', 'src/this-machine/']
  const isReader = ({ path }: Source) => READERS.some((place) => path.startsWith(place))
  const code = (text: string) => text.replace(/\/\*[\s\S]*?\*\/|\/\/.*/g, '')

  test('of the process is read by the command line and by the caller that is this machine', () => {
    const reads = /process\.(?:env|cwd|chdir|umask|stdin|stdout|stderr)\b|\b(?:homedir|userInfo|tmpdir)\b/
    expect(SRC.filter((source) => !isReader(source) && reads.test(code(source.text))).map(({ path }) => path)).toEqual([])
  })

  test('is not read without saying so, by a path that is resolved', () => {
    const resolves = /import \{[^}]*\bresolve\b[^}]*\} from 'node:path(?:\/posix)?'|\b(?:path|posix)\.resolve\((?!'\/')/
    expect(SRC.filter((source) => !isReader(source) && resolves.test(source.text)).map(({ path }) => path)).toEqual([
      // From the working directory that the caller names.
      'src/context/dockerfile.ts',
      // From a directory of a checkout.
      'src/sources/git/git.ts',
    ])
  })

  test('of the command is changed for what it starts, and read nowhere else', () => {
    expect(SRC.filter(({ text }) => /process\.env\b/.test(code(text))).map(({ path }) => path)).toEqual([
      'src/cli/rootless.ts',
      'src/this-machine/request.ts',
      'src/this-machine/this-machine.ts',
    ])
  })
})

describe('budgets', () => {
  const length = (text: string) => text.trimEnd().split('\n').length

  test('a file has at most 400 lines, the median at most 150', () => {
    const long = [...ALL, ...BENCH]
      .filter(({ path, text }) => length(text) > 400 && LONG_FILES[path] === undefined)
      .map(({ path, text }) => `${path}: ${length(text)}`)
    expect(long).toEqual([])
    const lengths = SRC.map(({ text }) => length(text)).sort((a, b) => a - b)
    expect(lengths[Math.floor(lengths.length / 2)]).toBeLessThanOrEqual(150)
  })

  test('a function has at most 60 lines', () => {
    expect([...ALL, ...BENCH].flatMap(longFunctions)).toEqual([])
    const long = `class A {\n  async #b() {\n${'    this.c()\n'.repeat(60)}  }\n}\n`
    expect(longFunctions({ path: 'a.ts', text: long, imports: [] })).toEqual(['a.ts:2: 62'])
  })
})

/** Functions and methods, private ones too, that are longer than 60 lines. A factory that returns an object of methods counts by its methods. */
function longFunctions({ path, text }: Source): string[] {
  const lineOf = (offset: number) => text.slice(0, offset).split('\n').length
  return functionsOf(parseSync(path, text).program).flatMap((node) => {
    const lines = lineOf(node.end) - lineOf(node.start) + 1
    return lines > 60 && !isFactory(node) ? [`${path}:${lineOf(node.start)}: ${lines}`] : []
  })
}

const FUNCTIONS = new Set(['FunctionDeclaration', 'FunctionExpression', 'ArrowFunctionExpression'])

function functionsOf(tree: object): SyntaxNode[] {
  return [...nodesOf(tree)].map(({ node }) => node).filter(({ type }) => FUNCTIONS.has(type))
}

function isFactory({ body }: SyntaxNode): boolean {
  const statements = (body as { body?: readonly SyntaxNode[] }).body ?? []
  return statements.some(({ type, argument }) => type === 'ReturnStatement' && (argument as SyntaxNode | null)?.type === 'ObjectExpression')
}
