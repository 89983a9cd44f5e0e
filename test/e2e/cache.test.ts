import { chmodSync, mkdirSync, utimesSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals'
import { type Steps, stepsOf } from '../support/steps.ts'
import { openWorkspace, type Workspace } from '../support/workspace.ts'

/** What runs again, and what does not: rules K of docs/semantics.md on whole builds. */
let workspace: Workspace
let folder = ''

beforeAll(() => {
  workspace = openWorkspace()
}, 300_000)
afterAll(() => workspace.remove(), 120_000)

const DOCKERFILE = `FROM busybox AS build
RUN echo tools > /tools
COPY a.txt /src/
COPY b.txt /src/
RUN cat /src/*.txt > /out
RUN head -n 1 /src/a.txt > /first

FROM busybox
COPY --from=build /first /first
RUN cp /first /second
LABEL version=1
CMD ["cat", "/second"]
`

function build(...args: string[]): Steps {
  return stepsOf(workspace.build(['--progress', 'rawjson', ...args, folder]).stderr)
}

function write(name: string, text: string): void {
  writeFileSync(join(folder, name), text)
}

const FROM = /^FROM /
const steps = (names: readonly string[]) => names.filter((name) => !FROM.test(name))

beforeEach(() => {
  folder = workspace.context({ Dockerfile: DOCKERFILE, 'a.txt': `first ${folder}\nsecond\n`, 'b.txt': 'b\n' })
  build()
})

test('nothing changed: nothing runs, and steps are told in the order of the Dockerfile', () => {
  const { ran, cached } = build()
  expect(steps(ran)).toEqual([])
  expect(steps(cached)).toEqual([
    'RUN echo tools > /tools',
    'COPY a.txt /src/',
    'COPY b.txt /src/',
    'RUN cat /src/*.txt > /out',
    'RUN head -n 1 /src/a.txt > /first',
    'COPY --from=build /first /first',
    'RUN cp /first /second',
  ])
})

test('a changed file re-runs its COPY and what follows, not what stands before', () => {
  write('b.txt', 'changed\n')
  const { ran, cached } = build()
  expect(ran).toEqual(['COPY b.txt /src/', 'RUN cat /src/*.txt > /out', 'RUN head -n 1 /src/a.txt > /first'])
  expect(cached).toEqual(expect.arrayContaining(['RUN echo tools > /tools', 'COPY a.txt /src/']))
})

test('COPY --from is keyed by content: what the stage made anew, but equal, is cached', () => {
  write('b.txt', 'changed again\n')
  const { cached } = build()
  expect(cached).toEqual(expect.arrayContaining(['COPY --from=build /first /first', 'RUN cp /first /second']))
  write('a.txt', 'another first line\n')
  expect(build().ran.slice(-2)).toEqual(['COPY --from=build /first /first', 'RUN cp /first /second'])
})

test('modification times and names of directories above mean nothing, modes do', () => {
  utimesSync(join(folder, 'a.txt'), 1, 1)
  mkdirSync(join(folder, 'unused'))
  expect(build().ran).toEqual([])
  chmodSync(join(folder, 'a.txt'), 0o755)
  expect(build().ran[0]).toBe('COPY a.txt /src/')
})

describe('what becomes configuration re-runs nothing', () => {
  test.each([
    ['LABEL', 'LABEL version=1', 'LABEL version=2', '"version": "2"'],
    ['CMD', 'CMD ["cat", "/second"]', 'CMD ["true"]', '"true"'],
    ['EXPOSE', 'LABEL version=1', 'EXPOSE 80', '"80/tcp": {}'],
    ['a comment', 'FROM busybox\n', '# why\nFROM busybox\n', '"version": "1"'],
  ])('%s', (_name, before, after, member) => {
    write('Dockerfile', DOCKERFILE.replace(before, after))
    const { ran } = build('-t', 'changed')
    expect(ran).toEqual([])
    expect(workspace.inspect('changed')).toContain(member)
  })
})

describe('what reaches a RUN re-runs it', () => {
  test.each([
    ['ENV', 'RUN cp /first', 'ENV V=2\nRUN cp /first'],
    ['the command', 'cp /first', 'cp -f /first'],
    ['WORKDIR', 'RUN cp /first', 'WORKDIR /w\nRUN cp /first'],
    ['USER', 'RUN cp /first', 'USER 0:0\nRUN cp /first'],
    ['an ARG with a value', 'RUN cp /first', 'ARG V=2\nRUN cp /first'],
  ])('%s', (_name, before, after) => {
    write('Dockerfile', DOCKERFILE.replace(before, after))
    expect(build().ran.at(-1)).toMatch(/^RUN cp (?:-f )?\/first/)
  })
})

test('--no-cache runs everything, --no-cache-filter the steps of one stage', () => {
  expect(build('--no-cache').ran).toEqual(expect.arrayContaining(['RUN echo tools > /tools', 'RUN cp /first /second']))
  const { ran, cached } = build('--no-cache-filter', 'build')
  expect(ran).toContain('RUN echo tools > /tools')
  expect(cached).toContain('RUN cp /first /second')
})

test('stages that the target does not need are not built', () => {
  const { ran, cached } = build('--target', 'build')
  expect([...ran, ...cached]).not.toContain('RUN cp /first /second')
})

test('another store knows nothing', () => {
  const other = ['--root', join(workspace.folder, 'other')]
  expect(build(...other).cached).toEqual([])
})
