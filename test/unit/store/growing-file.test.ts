import { closeSync, openSync, readdirSync, renameSync, rmSync, writeSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from '@jest/globals'
import { GrowingFile } from '../../../src/store/growing-file.ts'
import type { Bytes } from '../../../src/store/types.ts'

let folder: string
let path: string
let fd: number
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'tbuild-growing-'))
  path = join(folder, 'half')
  fd = openSync(path, 'wx')
})
afterEach(async () => {
  closeSync(fd)
  await rm(folder, { recursive: true })
})

const open = () => readdirSync('/proc/self/fd').length

/** A writer, as the store's. */
function writer(growing: GrowingFile) {
  let size = 0
  growing.begin(path)
  return (text: string) => {
    size += writeSync(fd, text)
    growing.grew(size)
  }
}

async function text(bytes: Bytes | undefined): Promise<string> {
  let all = ''
  for await (const chunk of bytes ?? []) all += Buffer.from(chunk).toString()
  return all
}

test('two readers at different places get all of a file that is renamed meanwhile, and nothing stays open', async () => {
  const before = open()
  const growing = new GrowingFile()
  const write = writer(growing)
  write('one ')
  const first = text(growing.read())
  await new Promise((resolve) => setTimeout(resolve, 5))
  write('two ')
  const second = text(growing.read())
  renameSync(path, `${path}-whole`)
  write('three')
  growing.end()
  expect(await Promise.all([first, second])).toEqual(['one two three', 'one two three'])
  expect(open()).toBe(before)
  expect(growing.read()).toBeUndefined()
})

test('what ended the writing is thrown to its reader, who waits or has bytes left', async () => {
  const before = open()
  const growing = new GrowingFile()
  const write = writer(growing)
  const waiting = text(growing.read())
  const late = growing.read()
  write('some')
  growing.end(new Error('another digest'))
  rmSync(path)
  await expect(waiting).rejects.toThrow('another digest')
  await expect(text(late)).rejects.toThrow('another digest')
  expect(open()).toBe(before)
})

test('a reader that stops, and one that never comes, keep nothing open', async () => {
  const before = open()
  const [read, unread, unbegun] = [new GrowingFile(), new GrowingFile(), new GrowingFile()]
  writer(read)('bytes')
  unread.begin(path)
  for await (const chunk of read.read() ?? []) if (chunk.length > 0) break
  for (const growing of [read, unread, unbegun]) growing.end()
  await Promise.all([read.begun, unread.begun, unbegun.begun])
  expect(unbegun.read()).toBeUndefined()
  expect(open()).toBe(before)
})
