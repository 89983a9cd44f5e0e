import { createHash } from 'node:crypto'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from '@jest/globals'

const LIBRARIES = { libdeflate: ['parts-of-a-stream.patch'], zstd: [] }

const folderOf = (library: string) => join(import.meta.dirname, '../../../third-party', library)

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

test.each(Object.entries(LIBRARIES))('%s is what its README says: upstream’s files, and the patches %j', (library, patches) => {
  const read = (name: string) => readFileSync(join(folderOf(library), name), 'utf8')
  const lines = read('SHA256SUMS').trim().split('\n')
  const sums = Object.fromEntries(lines.map((line) => [line.slice(66), line.slice(0, 64)]))
  const files = readdirSync(folderOf(library), { recursive: true, encoding: 'utf8' }).filter((name) =>
    /\.[ch]$|^COPYING$|^LICENSE$/.test(name),
  )
  expect(Object.keys(sums).sort()).toEqual(files.sort())
  const patch = patches.map(read).join('')
  const found = files.map((name) => [
    name,
    createHash('sha256')
      .update(unpatched(name, read(name), patch))
      .digest('hex'),
  ])
  expect(Object.fromEntries(found)).toEqual(sums)
})
