import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals'
import { script, tbuild } from '../support/cli.ts'

let work = ''
let base: string[] = []

beforeAll(async () => {
  work = await mkdtemp(join(tmpdir(), 'tbuild-call-'))
  const layout = script('busybox-layout.mjs')
  if (layout.status !== 0) throw new Error(layout.stderr)
  base = ['--root', join(work, 'store'), '--progress', 'plain', '--build-context', `busybox=oci-layout://${layout.stdout.trim()}`]
}, 300_000)
afterAll(() => rm(work, { recursive: true, force: true }), 120_000)

async function context(dockerfile: string, ignore?: string): Promise<string> {
  const folder = await mkdtemp(join(work, 'context-'))
  await writeFile(join(folder, 'Dockerfile'), dockerfile)
  if (ignore !== undefined) await writeFile(join(folder, '.dockerignore'), ignore)
  return folder
}

describe('--check', () => {
  test('E4 ends with 1 when it finds something, with what docker prints', async () => {
    const folder = await context('FROM busybox AS a\nENV B=$PATHH\nCMD x\n')
    const { status, stdout, stderr } = tbuild(['--check', ...base, folder])
    expect(status).toBe(1)
    expect(stdout).toBe(`Check complete, 2 warnings have been found!

WARNING: UndefinedVar - https://docs.docker.com/go/dockerfile/rule/undefined-var/
Usage of undefined variable '$PATHH' (did you mean $PATH?)
Dockerfile:2
--------------------
   1 |     FROM busybox AS a
   2 | >>> ENV B=$PATHH
   3 |     CMD x
   4 |${'     '}
--------------------

WARNING: JSONArgsRecommended - https://docs.docker.com/go/dockerfile/rule/json-args-recommended/
JSON arguments recommended for CMD to prevent unintended behavior related to OS signals
Dockerfile:3
--------------------
   1 |     FROM busybox AS a
   2 |     ENV B=$PATHH
   3 | >>> CMD x
   4 |${'     '}
--------------------
`)
    expect(stderr).not.toContain('UndefinedVar')
  })
  test('E4 ends with 0 when it finds nothing', async () => {
    const folder = await context('FROM scratch\nCOPY Dockerfile /\n')
    expect(tbuild(['--check', ...base, folder])).toMatchObject({ status: 0, stdout: 'Check complete, no warnings found.\n' })
  })
  test('JSON with an error of the build', async () => {
    const folder = await context('FROM scratch AS A\nVOLUME $none1\n', '*\n')
    const { status, stdout, stderr } = tbuild(['--call=check,format=json', ...base, folder])
    expect(status).toBe(1)
    const { warnings, sources, buildError } = JSON.parse(stdout)
    expect(warnings.map(({ ruleName }: { ruleName: string }) => ruleName)).toEqual(['StageNameCasing', 'UndefinedVar'])
    expect(Buffer.from(sources[0].data, 'base64').toString()).toBe('FROM scratch AS A\nVOLUME $none1\n')
    expect(buildError).toEqual({
      message: 'VOLUME specified can not be an empty string',
      location: { ranges: [{ start: { line: 2 }, end: { line: 2 } }] },
    })
    expect(stderr).toContain('code: VOLUME_EMPTY')
  })
  test('CopyIgnoredFile reads the ignore file of the context', async () => {
    const folder = await context('FROM scratch\nCOPY secret /\n', 'secret\n')
    expect(tbuild(['--check', ...base, folder]).stdout).toContain('Attempting to Copy file "secret" that is excluded by .dockerignore')
  })
})

describe('a build', () => {
  test('E4 with warnings ends with 0 and lists them, also in the metadata', async () => {
    const folder = await context('FROM scratch AS A\nCOPY Dockerfile /\n')
    const metadata = join(work, 'metadata.json')
    const { status, stderr } = tbuild(['--metadata-file', metadata, ...base, folder], { env: { BUILDX_METADATA_WARNINGS: '1' } })
    expect(status).toBe(0)
    expect(stderr).toContain("1 warning found:\n - StageNameCasing: Stage name 'A' should be lowercase (Dockerfile:1:1)\n")
    const { default: written } = await import(metadata, { with: { type: 'json' } })
    expect(written['buildx.build.warnings']).toHaveLength(1)
  })
  test('E4 fails with error=true, and runs nothing', async () => {
    const folder = await context('# check=error=true\nFROM busybox AS A\nRUN echo ran\n')
    const { status, stderr } = tbuild([...base, folder])
    expect(status).toBe(1)
    expect(stderr).toContain('ERROR: lint violation found for rules: StageNameCasing')
    expect(stderr).toContain('1 warning found:')
    expect(stderr).not.toContain('#1 [A')
  })
  test('BUILDKIT_DOCKERFILE_CHECK wins over the file', async () => {
    const folder = await context('# check=error=true\nFROM scratch AS A\nCOPY Dockerfile /\n')
    const { status, stderr } = tbuild(['--build-arg', 'BUILDKIT_DOCKERFILE_CHECK=skip=all', ...base, folder])
    expect([status, stderr.includes('warning')]).toEqual([0, false])
  })
  // Measured with docker 28.5: each is told at once, whatever comes after.
  test.each<[string, string, string[], ...string[]]>([
    ['a wrong instruction', 'FROM scratch AS A\nCMD x\nFROB\n', ['StageNameCasing']],
    ['a malformed check', '# check=none\nFROM scratch AS A\nFROB\n', []],
    ['wrong syntax', 'FROM scratch AS A\nRUN <<E\n', []],
    ['no such target', 'FROM scratch AS A\nCMD x\n', ['StageNameCasing'], '--target=none'],
    ['no such base', 'FROM scratch AS A\nCMD x\nCOPY --from=oci-layout:none / /\n', ['StageNameCasing']],
    [
      'an error in an instruction',
      'FROM scratch AS A\nCMD x\nVOLUME $one1\nENV A=$two2\n',
      ['StageNameCasing', 'JSONArgsRecommended', 'UndefinedVar'],
    ],
    [
      'an error in an earlier stage',
      'FROM scratch AS A\nVOLUME $one1\nFROM scratch\nCMD x\nCOPY --from=A / /\n',
      ['StageNameCasing', 'UndefinedVar'],
    ],
  ])('E4 that fails tells what was found before: %s', async (_what, dockerfile, rules, ...options) => {
    const folder = await context(dockerfile)
    for (const call of [[], ['--call=outline']]) {
      const { status, stderr } = tbuild([...call, ...options, ...base, folder])
      expect([status, [...stderr.matchAll(/^ - (\w+):/gm)].map(([, rule]) => rule)]).toEqual([1, rules])
    }
    const { stdout } = tbuild(['--check', ...options, ...base, folder])
    expect([...stdout.matchAll(/^WARNING: (\w+)/gm)].map(([, rule]) => rule)).toEqual(rules)
  })
  test('only what the target needs is checked', async () => {
    const folder = await context('FROM scratch AS a\nLABEL a=$one1\nFROM scratch\nLABEL a=$two2\n')
    expect(tbuild([...base, folder]).stderr).not.toContain('$one1')
  })
})

// Expectations of docker 28.5.
const FILE = `ARG V=1
ARG W=$V
# U is unused
ARG U=2
FROM scratch AS a
ARG V
ARG X=$W
RUN --mount=type=secret,id=s1 x
# end is the <end>
FROM a AS end
# Z is the last letter
ARG Z=3
RUN --mount=type=ssh,id=k,required=true y
`

describe('--call', () => {
  test('outline', async () => {
    const { status, stdout } = tbuild(['--call=outline', '--build-arg', 'X=9', ...base, await context(FILE)])
    expect(status).toBe(0)
    expect(stdout).toBe(
      [
        'TARGET:      end',
        'DESCRIPTION: is the <end>',
        '',
        'BUILD ARG   VALUE   DESCRIPTION',
        'V           1       ',
        'X           9       ',
        'Z           3       is the last letter',
        '',
        'SECRET   REQUIRED',
        's1       ',
        '',
        'SSH   REQUIRED',
        'k     true',
        '',
        '',
      ].join('\n'),
    )
  })
  test('warnings come behind an answer, but not where progress is quiet', async () => {
    const ask = (folder: string, ...quiet: string[]) => tbuild(['--call=outline', ...base, ...quiet, folder])
    const folder = await context('FROM scratch AS A\n')
    expect(ask(folder).stderr).toContain('StageNameCasing')
    for (const quiet of ['quiet', 'none']) expect(ask(folder, '--progress', quiet)).toMatchObject({ status: 0, stderr: '' })
  })

  test('outline of a target, as JSON', async () => {
    const { stdout } = tbuild(['--call=outline,format=json', '--target', 'a', ...base, await context(FILE)])
    const at = (line: number) => ({ ranges: [{ start: { line }, end: { line } }] })
    expect(JSON.parse(stdout)).toEqual({
      name: 'a',
      args: [
        { name: 'V', value: '1', location: at(1) },
        { name: 'X', location: at(7) },
      ],
      secrets: [{ name: 's1', location: at(8) }],
      sources: [Buffer.from(FILE).toString('base64')],
    })
  })
  test('targets', async () => {
    const { stdout } = tbuild(['--call=targets', ...base, await context(`${FILE}FROM --platform=linux/arm64 scratch\n`)])
    expect(stdout).toBe('TARGET    DESCRIPTION\na         \nend       is the <end>\n(default) \n')
  })
  test('targets as JSON, escaped like Go', async () => {
    const { stdout } = tbuild(['--call=targets,format=json', ...base, await context(FILE)])
    expect(stdout).toContain('is the \\u003cend\\u003e')
    expect(JSON.parse(stdout).targets[1]).toEqual({
      name: 'end',
      default: true,
      description: 'is the <end>',
      base: 'a',
      location: { ranges: [{ start: { line: 10 }, end: { line: 10 } }] },
    })
  })
  test('an unknown method is a usage error', async () => {
    expect(tbuild(['--call=nonsense', ...base, await context(FILE)])).toMatchObject({ status: 2 })
  })
})
