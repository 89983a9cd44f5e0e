import { readFileSync, statSync, utimesSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from '@jest/globals'
import { type ReadImage, readImage } from '../support/image-archive.ts'
import { openWorkspace, type Workspace } from '../support/workspace.ts'

const EPOCH = 1_700_000_000
const SHOWN = '2023-11-14T22:13:20Z'
/** Deterministic but for the times: files that COPY takes from the context have those of the context. */
const FILES_ONLY = 'FROM busybox\nWORKDIR /w/x\nCOPY file /q/r/\nCOPY file /s/t\n'
const WITH_RUN = `${FILES_ONLY}RUN mkdir /made && echo 1 > /made/file && rm /etc/group\n`

let space: Workspace
beforeAll(() => {
  space = openWorkspace()
}, 300_000)
afterAll(() => space.remove())

function context(dockerfile: string): string {
  const folder = space.context({ Dockerfile: dockerfile, file: 'x\n' })
  for (const name of ['file', 'Dockerfile']) utimesSync(join(folder, name), 1_500_000_000, 1_500_000_000)
  return folder
}

let outputs = 0
/** Builds without cache into an OCI archive. */
function archive(dockerfile: string, args: readonly string[], more = '', env: NodeJS.ProcessEnv = {}): Buffer {
  outputs += 1
  const path = space.path(`image-${outputs}.tar`)
  space.build(['--no-cache', '-o', `type=oci,dest=${path}${more}`, ...args, context(dockerfile)], { env })
  return readFileSync(path)
}

function last(): ReadImage {
  return readImage(space.path(`image-${outputs}.tar`))
}

const args = ['--build-arg', `SOURCE_DATE_EPOCH=${EPOCH}`]

test('the same epoch gives the same archive, byte for byte, and another another', () => {
  const first = archive(FILES_ONLY, args)
  expect(archive(FILES_ONLY, args).equals(first)).toBe(true)
  expect(archive(FILES_ONLY, ['--build-arg', `SOURCE_DATE_EPOCH=${EPOCH + 1}`]).equals(first)).toBe(false)
}, 60_000)

test('with RUN steps: the same archive with rewrite-timestamp, although the files were made at different times', async () => {
  const first = archive(WITH_RUN, args, ',rewrite-timestamp=true')
  await new Promise((resolve) => setTimeout(resolve, 1100))
  expect(archive(WITH_RUN, args, ',rewrite-timestamp=true').equals(first)).toBe(true)
  const times = last()
    .layers.slice(1)
    .flatMap((layer) => layer.map(({ name, mtime }) => `${name.replace(/\/$/, '')} ${mtime}`))
  expect(times).toContain(`made/file ${EPOCH}`)
  // L9: earlier times stay, and so do all of the base image.
  expect(times).toContain('s/t 1500000000')
  expect(last().layers[0]?.some(({ mtime }) => mtime > EPOCH)).toBe(true)
  // Without it, the layers keep the times of their making.
  const plain = archive(WITH_RUN, args)
  await new Promise((resolve) => setTimeout(resolve, 1100))
  expect(archive(WITH_RUN, args).equals(plain)).toBe(false)
}, 60_000)

test('I6 created and history are of the epoch, those of the base stay', () => {
  archive(WITH_RUN, args)
  const { created, history = [] } = last().config
  expect(created).toBe(SHOWN)
  expect(history.map((entry) => entry.created)).toEqual(['2026-01-01T00:00:00Z', SHOWN, SHOWN, SHOWN, SHOWN])
}, 60_000)

test('directories that WORKDIR and COPY make have the time of the epoch, declared or not', () => {
  archive(FILES_ONLY, args)
  const times = new Map(last().layers.flatMap((layer) => layer.map(({ name, mtime }) => [name.replace(/\/$/, ''), mtime] as const)))
  expect(['w', 'w/x', 'q', 'q/r', 's', 's/t', 'q/r/file'].map((name) => times.get(name))).toEqual([
    ...[EPOCH, EPOCH, EPOCH, EPOCH, EPOCH],
    ...[1_500_000_000, 1_500_000_000],
  ])
}, 60_000)

test.each([
  ['K19 a RUN sees it only when it is declared', 'FROM busybox\nRUN echo "[$SOURCE_DATE_EPOCH]" > /seen\n', args, {}, '[]'],
  ['K19 declared', 'FROM busybox\nARG SOURCE_DATE_EPOCH\nRUN echo "[$SOURCE_DATE_EPOCH]" > /seen\n', args, {}, `[${EPOCH}]`],
  [
    'from the environment',
    'FROM busybox\nARG SOURCE_DATE_EPOCH\nRUN echo "[$SOURCE_DATE_EPOCH]" > /seen\n',
    [],
    { SOURCE_DATE_EPOCH: '5' },
    '[5]',
  ],
  [
    '--build-arg wins over the environment',
    'FROM busybox\nARG SOURCE_DATE_EPOCH\nRUN echo "[$SOURCE_DATE_EPOCH]" > /seen\n',
    args,
    { SOURCE_DATE_EPOCH: '5' },
    `[${EPOCH}]`,
  ],
  ['the default of a global ARG', `ARG SOURCE_DATE_EPOCH=${EPOCH}\nFROM busybox\nRUN echo "[$SOURCE_DATE_EPOCH]" > /seen\n`, [], {}, '[]'],
])(
  '%s',
  (_title, dockerfile, given, env, seen) => {
    archive(dockerfile, given, '', env)
    const file = last()
      .layers.flat()
      .find(({ name }) => name === 'seen')
    expect(file?.data.toString().trim()).toBe(seen)
    expect(last().config.created).toBe(
      env === undefined || !('SOURCE_DATE_EPOCH' in env) || given.length > 0 ? SHOWN : '1970-01-01T00:00:05Z',
    )
  },
  60_000,
)

test('`context` is nothing for a local context, and a name that nothing has is refused', () => {
  const local = archive(FILES_ONLY, ['--build-arg', 'SOURCE_DATE_EPOCH=context'])
  expect(local.length).toBeGreaterThan(0)
  expect(last().config.created).not.toBe(SHOWN)
  const refused = space.run(['--build-arg', 'SOURCE_DATE_EPOCH=soon', context(FILES_ONLY)])
  expect([refused.status, refused.stderr.includes('invalid SOURCE_DATE_EPOCH: soon')]).toEqual([1, true])
}, 60_000)

test('an output has its own epoch, or none', () => {
  archive(FILES_ONLY, args, ',source-date-epoch=5')
  expect(last().config.created).toBe('1970-01-01T00:00:05Z')
  const withoutEpoch = (given: readonly string[]) => {
    archive(FILES_ONLY, given, ',source-date-epoch=')
    return last().config
  }
  expect(withoutEpoch([]).created).not.toBe(SHOWN)
  // The instructions say when they were written by the epoch of the build, whatever the output does.
  const { created, history = [] } = withoutEpoch(args)
  expect([created, ...history.slice(1).map((entry) => entry.created)]).toEqual([SHOWN, SHOWN, SHOWN, SHOWN])
  archive(FILES_ONLY, args, ',source-date-epoch=3000000000')
  expect(last().config.created).toBe(SHOWN)
}, 60_000)

test('local and tar: every file has the time of the epoch, as BuildKit sets it', () => {
  space.build([...args, '-o', space.path('files'), context(FILES_ONLY)])
  expect(['bin', 's/t', 'q/r'].map((name) => statSync(space.path(`files/${name}`)).mtimeMs)).toEqual([
    EPOCH * 1000,
    EPOCH * 1000,
    EPOCH * 1000,
  ])
}, 60_000)

test('rewrite-timestamp without an epoch says so and changes nothing', () => {
  const folder = context(FILES_ONLY)
  const plain = space.path('plain.tar')
  space.build(['-o', `type=oci,dest=${plain}`, folder])
  const { stderr } = space.build(['-o', `type=oci,dest=${space.path('none.tar')},rewrite-timestamp=true`, folder])
  expect(stderr).toContain('rewrite-timestamp changes nothing')
  expect(readImage(space.path('none.tar')).config).toEqual(readImage(plain).config)
}, 60_000)
