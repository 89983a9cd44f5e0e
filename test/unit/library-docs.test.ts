import { spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from '@jest/globals'

const root = join(import.meta.dirname, '../..')
const markdown = readFileSync(join(root, 'docs/library.md'), 'utf8')
const examples = [...markdown.matchAll(/^```ts\n([\s\S]*?)^```$/gm)].map(([, code]) => code as string)

/** What the compiler says of the modules, each a file of its own; the names in it are those of the sources. */
function compile(modules: readonly string[]): string {
  const folder = mkdtempSync(join(tmpdir(), 'tbuild-library-docs-'))
  try {
    modules.forEach((code, index) => {
      writeFileSync(join(folder, `example-${index + 1}.mts`), code)
    })
    const compilerOptions = {
      paths: { tbuild: [join(root, 'src/index.ts')] },
      typeRoots: [join(root, 'node_modules/@types')],
      types: ['node'],
      noUnusedLocals: false,
    }
    writeFileSync(
      join(folder, 'tsconfig.json'),
      JSON.stringify({
        extends: join(root, 'tsconfig.json'),
        compilerOptions,
        include: ['*.mts', join(root, 'grammar/*.d.ts')],
        exclude: [],
      }),
    )
    return spawnSync(process.execPath, [join(root, 'node_modules/typescript/bin/tsc'), '-p', folder], { encoding: 'utf8' }).stdout
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

test('the examples of docs/library.md compile, and a wrong one would not', () => {
  expect(examples.length).toBeGreaterThan(5)
  expect(compile(examples)).toBe('')
  expect(compile([`import { build } from 'tbuild'\nawait build({ contexts: '.' })\n`])).toContain("'contexts' does not exist")
}, 120_000)

test('every value that the package exports stands in an example', async () => {
  const exported = Object.keys(await import('../../src/index.ts'))
  expect(exported.filter((name) => !examples.some((code) => new RegExp(`\\b${name}\\b`).test(code)))).toEqual([])
})
