import { chmodSync, copyFileSync, lstatSync, renameSync, statSync, utimesSync, writeFileSync } from 'node:fs'
import { readFile, symlink, unlink } from 'node:fs/promises'
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals'
import { sha256 } from '../../src/base/digest.ts'
import { build } from '../../src/build.ts'
import type { BuildOptions, BuildResult, OutputSpec } from '../../src/build-options.ts'
import { openWorkspace, type Workspace } from '../support/workspace.ts'

let space: Workspace
let context = ''
let dest = ''
beforeAll(() => {
  space = openWorkspace()
  context = space.context({ Dockerfile: 'FROM scratch\nCOPY a b /\nENV X=1\n', a: 'one\n', b: 'two\n' })
})
afterAll(() => space.remove())

let count = 0
const newName = () => space.path(`out-${count++}.tar`)

function write(output: OutputSpec, options: Partial<BuildOptions> = {}): Promise<BuildResult> {
  return build({ context, root: space.store, environment: { HOME: '/' }, outputs: [output], ...options })
}

const oci = (): OutputSpec => ({ type: 'oci', dest, tar: true })
const digest = async () => sha256(await readFile(dest))
/** A file that is written anew is another one: it takes the place of the old one as a whole. */
const inode = () => {
  const { ino, birthtimeNs } = statSync(dest, { bigint: true })
  return `${ino} ${birthtimeNs}`
}
const PAST = new Date('2020-01-02T03:04:05Z')

describe.each<[string, () => OutputSpec]>([
  ['an OCI archive', oci],
  ['a docker archive', () => ({ type: 'docker', dest })],
  ['a tar of the files', () => ({ type: 'tar', dest })],
])('%s', (_name, output) => {
  test('is left as it is when it is there, again and again, with the time of now and an equal result', async () => {
    dest = newName()
    const first = await write(output())
    const [before, bytes] = [inode(), await digest()]
    for (let round = 0; round < 3; round += 1) {
      const earlier = statSync(dest, { bigint: true }).mtimeNs
      expect(await write(output())).toEqual({ ...first, steps: { total: 1, cached: 1 } })
      expect(statSync(dest, { bigint: true }).mtimeNs).toBeGreaterThan(earlier)
      expect([inode(), await digest()]).toEqual([before, bytes])
    }
  }, 60_000)

  test.each<[string, () => void]>([
    ['other bytes of equal length, its time set back', () => inPlace((bytes) => bytes.fill(7, 0, 64))],
    ['a shorter file, its time set back', () => inPlace((bytes) => bytes.subarray(0, 512))],
    ['another mode', () => chmodSync(dest, 0o600)],
    ['another time', () => utimesSync(dest, PAST, PAST)],
    [
      'a copy in its place, with its times',
      () => {
        const { atime, mtime } = statSync(dest)
        copyFileSync(dest, `${dest}.copy`)
        utimesSync(`${dest}.copy`, atime, mtime)
        renameSync(`${dest}.copy`, dest)
      },
    ],
  ])(
    'is written anew after a change: %s',
    async (_change, change) => {
      dest = newName()
      await write(output())
      const [before, bytes] = [inode(), await digest()]
      change()
      await write(output())
      expect(await digest()).toBe(bytes)
      expect(inode()).not.toBe(before)
      // And is trusted from then on.
      const renewed = inode()
      await write(output())
      expect(inode()).toBe(renewed)
    },
    60_000,
  )
})

function inPlace(change: (bytes: Buffer) => Buffer): void {
  const { atime, mtime } = statSync(dest)
  const bytes = Buffer.alloc(statSync(dest).size, 1)
  writeFileSync(dest, change(bytes))
  utimesSync(dest, atime, mtime)
}

describe('an archive that would have other bytes is written', () => {
  test.each<[string, Partial<OutputSpec>, Partial<BuildOptions>]>([
    ['another name', {}, { tags: ['other:1'] }],
    ['another label', {}, { labels: { a: 'b' } }],
    ['another compression', { compression: 'uncompressed' } as Partial<OutputSpec>, {}],
    ['an annotation', {}, { annotations: [{ level: 'manifest', key: 'a', value: 'b' }] }],
    ['other media types', { ociMediaTypes: false } as Partial<OutputSpec>, {}],
    ['another epoch', {}, { buildArgs: { SOURCE_DATE_EPOCH: '1' } }],
  ])(
    '%s, and back',
    async (_name, more, options) => {
      dest = newName()
      await write(oci())
      const bytes = await digest()
      await write({ ...oci(), ...more } as OutputSpec, options)
      expect(await digest()).not.toBe(bytes)
      await write(oci())
      expect(await digest()).toBe(bytes)
    },
    60_000,
  )
})

test('a link to the archive is no archive: the file takes its place', async () => {
  dest = newName()
  await write(oci())
  const moved = `${dest}.moved`
  renameSync(dest, moved)
  await symlink(moved, dest)
  await write(oci())
  expect(await readFile(dest)).toEqual(await readFile(moved))
  expect(lstatSync(dest).isFile()).toBe(true)
}, 60_000)

test('an archive that was removed is there again', async () => {
  dest = newName()
  await write(oci())
  const bytes = await digest()
  await unlink(dest)
  await write(oci())
  expect(await digest()).toBe(bytes)
}, 60_000)
