import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from '@jest/globals'
import { parseSync } from 'oxc-parser'
import { nameOf, nodesOf, type SyntaxNode } from '../support/syntax.ts'

/**
 * What knip does not see: members of types and classes that nobody reads, optional ones that nobody gives, and optional parameters that no call has. By name
 * and over all of src, so a member with the name of another that is used is not found; and what is found is nobody's.
 */
const root = join(import.meta.dirname, '../..')

/** Read by somebody else than our code, with who. */
const READ_ELSEWHERE: Readonly<Record<string, string>> = {
  __digest: 'the compiler: a brand',
  __layerId: 'the compiler: a brand',
  __sha256: 'the compiler: a brand',
  __zstdFrame: 'the compiler: a brand',
  __zstdDecoder: 'the compiler: a brand',
  toJSON: 'JSON.stringify',
  evaluate: 'who calls the library',
  events: 'who calls the library',
  formatError: 'nearley asks its lexer for it',
  ca: 'node:tls',
  cert: 'node:tls',
  rejectUnauthorized: 'node:tls',
  chunkSize: 'node:zlib',
  capabilities: 'the runner: a field of a record',
  scoped: 'the runner: a field of a record',
  resource: 'the runner: a field of a record',
}

/** Given by somebody else than our code, with who. */
const GIVEN_ELSEWHERE: readonly (readonly [RegExp, string])[] = [
  [/^src\/cli\/(?:.*Flags|options\/call\.ts )\./, 'commander, from the command line'],
  [/^src\/sources\/registry\/auth\.ts /, 'a token server'],
  [/\/credential-helper\.ts /, 'a credential helper'],
  [/ BuildOptions\./, 'who calls the library'],
  [/\.(?:_handle|setBlocking)$/, 'Node, for its streams'],
]

/** Parameters by which a test, or who calls the library, stands elsewhere than our code. */
const FOR_TESTS: Readonly<Record<string, string>> = {
  'tlsOptionsFor 3': 'folders of certificates',
  'unrunnable 1': 'the folder of binfmt_misc',
  'unrunnable 2': 'the host’s platform',
  'parsePlatform 1': 'the host’s platform',
  'storeRoot 2': 'the user’s id',
  'flush 0': 'what a disk has to do',
  'startBuild 1': 'hooks of who calls the library',
}

interface Member {
  /** `src/a.ts Type.member` */
  readonly place: string
  readonly name: string
  readonly isOptional: boolean
}

interface Parameter {
  /** `function position` */
  readonly place: string
  readonly function: string
  readonly position: number
}

/** What code says of names, all files together. */
class Names {
  readonly members: Member[] = []
  readonly parameters: Parameter[] = []
  readonly read = new Set<string>()
  readonly given = new Set<string>()
  /** The most arguments that a call by this name has. */
  readonly #arguments = new Map<string, number>()
  /** Functions that are handed on as values: who calls them is not known. */
  readonly #values = new Set<string>()

  add(path: string, text: string): void {
    const owners: SyntaxNode[] = []
    for (const { node, parent } of nodesOf(parseSync(path, text).program)) {
      if (OWNERS.has(node.type)) owners.push(node)
      const owner = nameOf(owners.findLast(({ start, end }) => start <= node.start && node.end <= end)?.id) ?? ''
      this.#member(node, `${path} ${owner}`)
      this.#use(node, parent)
      this.#parameters(node, parent, owner)
      this.#call(node, parent)
    }
  }

  get unread(): string[] {
    return this.members.filter(({ name }) => !this.read.has(name) && READ_ELSEWHERE[name] === undefined).map(({ place }) => place)
  }

  get ungiven(): string[] {
    const found = this.members.filter(({ name, isOptional }) => isOptional && !this.given.has(name)).map(({ place }) => place)
    return found.filter((place) => !GIVEN_ELSEWHERE.some(([pattern]) => pattern.test(place)))
  }

  get unpassed(): string[] {
    return this.parameters
      .filter(({ function: name, position }) => !this.#values.has(name) && (this.#arguments.get(name) ?? 0) <= position)
      .map(({ place }) => place)
      .filter((place) => FOR_TESTS[place] === undefined)
  }

  #member(node: SyntaxNode, place: string): void {
    const name = MEMBERS.has(node.type) ? nameOf(node.key) : undefined
    if (name === undefined || name === 'constructor') return
    this.members.push({ place: `${place}.${name}`, name, isOptional: node.optional === true })
    if (node.type === 'MethodDefinition' || node.type === 'PropertyDefinition') this.given.add(name)
  }

  #use(node: SyntaxNode, parent: SyntaxNode | undefined): void {
    if (node.type === 'MemberExpression') {
      const name = nameOf(node.property)
      if (name === undefined || (node.computed === true && (node.property as SyntaxNode).type === 'Identifier')) return
      const isTarget = parent?.type === 'AssignmentExpression' && parent.left === node
      if (isTarget) this.given.add(name)
      if (!isTarget || parent.operator !== '=') this.read.add(name)
    } else if (node.type === 'Property') {
      const name = nameOf(node.key)
      if (name !== undefined) (parent?.type === 'ObjectPattern' ? this.read : this.given).add(name)
    } else if (node.type === 'Literal' && typeof node.value === 'string' && parent?.type !== 'TSLiteralType' && parent?.key !== node) {
      // A name that is looked up by a table.
      this.read.add(node.value)
      this.given.add(node.value)
    }
  }

  #parameters(node: SyntaxNode, parent: SyntaxNode | undefined, owner: string): void {
    const written = functionName(node, parent)
    const name = written === 'constructor' ? owner : written
    if (name === undefined) return
    for (const [position, parameter] of (node.params as SyntaxNode[]).entries()) {
      const isOptional = parameter.type === 'AssignmentPattern' || parameter.optional === true
      if (isOptional) this.parameters.push({ place: `${name} ${position}`, function: name, position })
    }
  }

  #call(node: SyntaxNode, parent: SyntaxNode | undefined): void {
    if (node.type === 'CallExpression' || node.type === 'NewExpression') {
      const callee = node.callee as SyntaxNode
      const called = callee.type === 'MemberExpression' ? memberName(callee.property) : nameOf(callee)
      const given = node.arguments as SyntaxNode[]
      const count = given.some(({ type }) => type === 'SpreadElement') ? Number.POSITIVE_INFINITY : given.length
      if (called !== undefined) this.#arguments.set(called, Math.max(this.#arguments.get(called) ?? 0, count))
    } else if (node.type === 'Identifier' && isValue(node, parent)) this.#values.add(node.name as string)
  }
}

const OWNERS = new Set(['TSInterfaceDeclaration', 'TSTypeAliasDeclaration', 'ClassDeclaration'])
const MEMBERS = new Set(['TSPropertySignature', 'TSMethodSignature', 'PropertyDefinition', 'MethodDefinition'])

function memberName(property: unknown): string | undefined {
  const { type, name } = property as SyntaxNode
  return type === 'PrivateIdentifier' ? `#${name}` : nameOf(property)
}

function functionName(node: SyntaxNode, parent: SyntaxNode | undefined): string | undefined {
  if (node.type === 'FunctionDeclaration') return nameOf(node.id)
  if (node.type === 'ArrowFunctionExpression' && parent?.type === 'VariableDeclarator') return nameOf(parent.id)
  return node.type === 'FunctionExpression' && (parent?.type === 'MethodDefinition' || parent?.type === 'Property')
    ? memberName(parent.key)
    : undefined
}

const NO_VALUES = new Set(['FunctionDeclaration', 'ImportSpecifier', 'ExportSpecifier', 'MemberExpression', 'TSTypeReference'])

/** An identifier that is neither declared nor called here. */
function isValue(node: SyntaxNode, parent: SyntaxNode | undefined): boolean {
  if (parent?.type === 'CallExpression' || parent?.type === 'NewExpression') return parent.callee !== node
  if (parent?.type === 'Property') return parent.value === node
  if (parent !== undefined && MEMBERS.has(parent.type)) return parent.key !== node
  if (parent?.type === 'VariableDeclarator') return parent.init === node
  if (parent?.type === 'ClassDeclaration') return parent.superClass === node
  return !NO_VALUES.has(parent?.type ?? '')
}

function namesOf(files: Readonly<Record<string, string>>): Names {
  const names = new Names()
  for (const [path, text] of Object.entries(files)) names.add(path, text)
  return names
}

const code = namesOf(
  Object.fromEntries(
    ['src', 'grammar'].flatMap((folder) =>
      readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' })
        .filter((name) => name.endsWith('.ts') && !name.endsWith('.d.ts') && !name.startsWith('generated'))
        .map((name) => [join(folder, name), readFileSync(join(root, folder, name), 'utf8')]),
    ),
  ),
)

describe('nobody keeps', () => {
  test('a member that nothing reads', () => {
    expect(code.unread).toEqual([])
  })

  test('an optional member that nothing gives', () => {
    expect(code.ungiven).toEqual([])
  })

  test('an optional parameter that no call gives', () => {
    expect(code.unpassed).toEqual([])
  })

  test('a call of the addon that nothing makes', () => {
    const table = readFileSync(join(root, 'addon/sys.c'), 'utf8').matchAll(/FUNCTION\("(\w+)"/g)
    const calls = [...table].map(([, name]) => name as string)
    expect(calls.length).toBeGreaterThan(10)
    // Before there is a bundle, its loader calls some.
    const loader = namesOf({ 'bin/load.cjs': readFileSync(join(root, 'bin/load.cjs'), 'utf8') })
    expect(calls.filter((name) => !code.read.has(name) && !loader.read.has(name))).toEqual([])
  })
})

test('the guard sees each kind', () => {
  const text = `
    interface A { used: string; unread: string; ungiven?: string; method(): void }
    class B { constructor(a?: string) {} #c(a = 1) {} get d() { return 1 } e(x?: number) { this.#c(2) } }
    const a = { used: '', unread: '', method() {} }
    export const f = (a: A, b?: string, c?: string) => a.used + a.ungiven
    f(a, '')
    new B().e()
    export function handedOn(a?: string) {}
    export const g = [handedOn]
  `
  const names = namesOf({ 'a.ts': text })
  expect(names.unread.sort()).toEqual(['a.ts A.method', 'a.ts A.unread', 'a.ts B.d'])
  expect(names.ungiven).toEqual(['a.ts A.ungiven'])
  expect(names.unpassed.sort()).toEqual(['B 0', 'e 0', 'f 2'])
})
