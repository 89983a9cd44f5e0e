import { createHash, randomFillSync } from 'node:crypto'
import { closeSync, mkdirSync, openSync, writeFileSync, writeSync } from 'node:fs'
import { join } from 'node:path'

const BLOCK = 1 << 24

/** Text that deflate makes about a third of; equal for equal arguments. */
function text(bytes: number, seed: number): string {
  const words = Array.from({ length: 4096 }, (_, index) =>
    createHash('md5')
      .update(`${seed} ${index}`)
      .digest('hex')
      .slice(0, 3 + (index % 9)),
  )
  let state = seed + 1
  const parts: string[] = []
  for (let size = 0; size < bytes; ) {
    state = (Math.imul(state, 1103515245) + 12345) >>> 0
    const word = words[state >>> 20] as string
    parts.push(word)
    size += word.length + 1
  }
  return parts.join(' ').slice(0, bytes)
}

const pool = { text: '' }

/** The same piece of text for every file: compressors look back less far than it is long. */
function textPool(): string {
  pool.text ||= text(BLOCK, 1)
  return pool.text
}

/** A large file of text. `mark` makes it differ from any other, in each block. */
export function writeText(path: string, bytes: number, mark: string): void {
  writeBlocks(path, bytes, (size) => Buffer.from(`${mark} ${textPool()}`.slice(0, size), 'latin1'))
}

/** A large file that no compressor makes smaller. */
export function writeRandom(path: string, bytes: number): void {
  const block = Buffer.alloc(Math.min(BLOCK, bytes))
  writeBlocks(path, bytes, (size) => randomFillSync(block.subarray(0, size)))
}

function writeBlocks(path: string, bytes: number, block: (size: number) => Buffer): void {
  const file = openSync(path, 'w')
  for (let left = bytes; left > 0; ) left -= writeSync(file, block(Math.min(BLOCK, left)))
  closeSync(file)
}

const AVERAGE = 4096
const A_FOLDER = 200

/** As a tree of sources has them: 4 KiB on the average, 200 a folder. `mark` makes each differ from those of another tree. */
export function writeSmallFiles(folder: string, count: number, mark: string): void {
  for (let index = 0; index < count; index += 1) {
    const path = join(folder, smallFile(index))
    if (index % A_FOLDER === 0) mkdirSync(join(path, '..'), { recursive: true })
    const size = (index * 7919) % (2 * AVERAGE)
    const start = (index * 104729) % (BLOCK - 2 * AVERAGE)
    writeFileSync(path, `${mark} ${index} ${textPool().slice(start, start + size)}`, 'latin1')
  }
}

/** The path of one of them. */
export function smallFile(index: number): string {
  return `d${Math.floor(index / A_FOLDER)}/f${index}`
}

/** A folder with a Dockerfile and small files, by name. */
export function writeContext(folder: string, dockerfile: string, files: Readonly<Record<string, string>> = {}): string {
  mkdirSync(folder, { recursive: true })
  for (const [name, content] of Object.entries({ ...files, Dockerfile: dockerfile })) writeFileSync(join(folder, name), content)
  return folder
}

/** `count` lines, each made of its number. */
export function lines(count: number, line: (index: number) => string): string {
  return Array.from({ length: count }, (_, index) => `${line(index)}\n`).join('')
}
