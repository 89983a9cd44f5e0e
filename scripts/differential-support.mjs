// What the differential scripts share: the harness of test/support, bundled so that plain Node runs it, and the comparison of two outcomes.
import { dirname, join } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { build } from 'esbuild'

export const root = join(dirname(fileURLToPath(import.meta.url)), '..')

/** A module of test/support; `folder` is where its bundle goes. */
export async function load(name, folder) {
  const outfile = join(folder, `${name}.mjs`)
  await build({
    entryPoints: [join(root, `test/support/${name}.ts`)],
    outfile,
    bundle: true,
    platform: 'node',
    format: 'esm',
    target: 'node20',
  })
  return import(pathToFileURL(outfile).href)
}

/** The lines of two outcomes that are not in both. */
export function difference(expected, got) {
  const lines = (outcome) => {
    const { message, ...rest } = outcome
    return new Set(
      Object.entries(rest).flatMap(([part, value]) =>
        value !== null && typeof value === 'object'
          ? Object.entries(value).map(([key, member]) => `${part} ${key}: ${JSON.stringify(member)}`)
          : [`${part}: ${JSON.stringify(value)}`],
      ),
    )
  }
  const [a, b] = [lines(expected), lines(got)]
  return [
    ...[...a].filter((line) => !b.has(line)).map((line) => `  - ${line}`),
    ...[...b].filter((line) => !a.has(line)).map((line) => `  + ${line}`),
  ]
}
