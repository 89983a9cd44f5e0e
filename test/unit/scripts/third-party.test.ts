import { createHash } from 'node:crypto'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from '@jest/globals'

const folder = join(import.meta.dirname, '../../../third-party/libdeflate')
const read = (name: string) => readFileSync(join(folder, name), 'utf8')
const sums = new Map(
  read('SHA256SUMS')
    .trim()
    .split('\n')
    .map((line) => [line.slice(66), line.slice(0, 64)]),
)

/** What a file was before its part of a unified diff. */
function unpatched(name: string, text: string, patch: string): string {
  const part = patch.split(/^--- a\//m).find((candidate) => candidate.startsWith(`${name}\n`))
  if (part === undefined) return text
  const now = text.split('\n')
  const before: string[] = []
  let at = 0
  for (const hunk of part.split(/^@@ /m).slice(1)) {
    const start = Number(/\+(\d+)/.exec(hunk)?.[1]) - 1
    before.push(...now.slice(at, start))
    at = start
    for (const line of hunk.split('\n').slice(1, -1)) {
      if (line[0] !== '-') expect(`${name}:${at + 1} ${now[at++]}`).toBe(`${name}:${at} ${line.slice(1)}`)
      if (line[0] !== '+') before.push(line.slice(1))
    }
  }
  return [...before, ...now.slice(at)].join('\n')
}

test('libdeflate is what its README says: upstream’s files, and the patch', () => {
  const files = readdirSync(folder, { recursive: true, encoding: 'utf8' }).filter((name) => /\.[ch]$|^COPYING$/.test(name))
  expect([...sums.keys()].sort()).toEqual(files.sort())
  const patch = read('parts-of-a-stream.patch')
  const found = files.map((name) => [
    name,
    createHash('sha256')
      .update(unpatched(name, read(name), patch))
      .digest('hex'),
  ])
  expect(Object.fromEntries(found)).toEqual(Object.fromEntries(sums))
})
