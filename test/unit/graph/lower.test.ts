// biome-ignore-all lint/suspicious/noTemplateCurlyInString: variables of Dockerfiles look like templates.
import { sha256 } from '../../../src/base/digest.ts'
import { parseStages } from '../../../src/dockerfile/stages.ts'
import { lower } from '../../../src/graph/lower.ts'
import type { BaseImage } from '../../../src/graph/lower-types.ts'
import { type Platform, parsePlatform } from '../../../src/values/platform.ts'
import { lowerOptions } from '../../support/lower-options.ts'

const AMD64 = parsePlatform('linux/amd64')
const digest = sha256('layer')

function image(layers: number, config: BaseImage['configFile']['config'] = {}): BaseImage {
  const diff_ids = Array.from({ length: layers }, () => digest)
  return {
    name: 'x',
    digest,
    platform: AMD64,
    configFile: { os: 'linux', architecture: 'amd64', config, rootfs: { type: 'layers', diff_ids } },
  }
}

function lowered(text: string, { from, ...change }: Parameters<typeof lowerOptions>[0] = {}) {
  return lower(
    parseStages({ name: 'Dockerfile', text }),
    lowerOptions({ from: { resolveImage: async () => image(1), ...from }, ...change }),
  )
}

test('G14 a base without layers is scratch with its configuration', async () => {
  const graph = await lowered('FROM empty\nENV B=2\n', { from: { resolveImage: async () => image(0, { Env: ['A=1'] }) } })
  expect(graph.target.root).toBeUndefined()
  expect(graph.target.config.Env).toEqual([expect.stringMatching(/^A=1$/), expect.stringMatching(/^PATH=/), 'B=2'])
})

test('G13 a stage that a context of files replaces has no config, a base that it replaces has that of scratch', async () => {
  const namedContext = (name: string) => (name === 'foo' ? ({ kind: 'files', name } as const) : undefined)
  const stage = await lowered('FROM scratch AS foo\nWORKDIR /lost\nFROM foo\nENV A=1\n', { from: { namedContext } })
  expect(stage.target.config).toEqual({ Env: [expect.stringMatching(/^PATH=/), 'A=1'] })
  const base = await lowered('FROM foo\nENV A=1\n', { from: { namedContext } })
  expect(base.target.config).toEqual({ Env: [expect.stringMatching(/^PATH=/), 'A=1'], WorkingDir: '/' })
})

test.each([
  ['FROM base', {}, 'amd64'],
  ['FROM --platform=linux/arm64 base', {}, 'amd64'],
  ['FROM --platform=linux/arm64 base', { platforms: { isTargetGiven: true, target: { os: 'linux', architecture: 'riscv64' } } }, 'riscv64'],
  ['FROM --platform=linux/arm64 scratch', {}, 'amd64'],
  ['FROM --platform=linux/arm64 scratch AS a\nFROM --platform=linux/s390x a', {}, 'amd64'],
])('I11 what %j with %j is for', async (text, change, architecture) => {
  const graph = await lowered(`${text}\n`, change)
  expect(graph.target.imagePlatform.architecture).toBe(architecture)
})

test('G6 an image that COPY takes from is the target’s', async () => {
  const asked: string[] = []
  const resolveImage = async (reference: string, { architecture }: Platform) => {
    asked.push(`${reference} ${architecture}`)
    return image(1)
  }
  await lowered('FROM --platform=linux/arm64 base\nCOPY --from=other a b\n', { from: { resolveImage } })
  expect(asked).toEqual(['base arm64', 'other amd64'])
})

test('G9 the base of a stage that nothing needs is not looked up', async () => {
  const asked: string[] = []
  const resolveImage = async (reference: string) => {
    asked.push(reference)
    return image(1)
  }
  await lowered('FROM unneeded AS a\nFROM needed\n', { from: { resolveImage } })
  expect(asked).toEqual(['needed'])
})

test('G9 its name must be one all the same', async () => {
  await expect(lowered('FROM Not/An/Image AS a\nFROM scratch\nLABEL a=b\n')).rejects.toMatchObject({
    code: 'IMAGE_REFERENCE_INVALID',
    message: 'failed to parse stage name "Not/An/Image": invalid reference format: repository name (An/Image) must be lowercase',
    span: { start: { line: 1 } },
  })
})

test('O3 a trigger is reported at the FROM that runs it', async () => {
  const resolveImage = async () => image(1, { OnBuild: ['VOLUME $nothing'] })
  await expect(lowered('ARG A\nFROM base\n', { from: { resolveImage } })).rejects.toMatchObject({
    code: 'VOLUME_EMPTY',
    span: { start: { line: 2 } },
  })
})

test('A2 a default that a --build-arg replaces is not expanded', async () => {
  const text = 'FROM scratch\nARG A=${B:?no}\nLABEL a=$A\n'
  const graph = await lowered(text, { buildArgs: new Map([['A', '1']]) })
  expect(graph.target.config.Labels).toEqual({ a: '1' })
  await expect(lowered(text)).rejects.toMatchObject({ code: 'EXPANSION_FAILED' })
})

test.each([
  ['FROM scratch AS base\nFROM scratch', { target: 'bas' }, 'target stage "bas" could not be found (did you mean base?)'],
  ['FROM --platform=$TARGETPLATFROM scratch', {}, 'empty platform value from expression $TARGETPLATFROM (did you mean TARGETPLATFORM?)'],
] as const)('E6 %j', async (text, change, message) => {
  await expect(lowered(text, change)).rejects.toMatchObject({ message })
})

test('M1 what lowering makes to hold the files of a context says which it copies, and an instruction’s copy is none', async () => {
  const namedContext = (name: string) => (name === 'files' ? ({ kind: 'files', name } as const) : undefined)
  const run = 'RUN --mount=type=bind,target=/a --mount=from=none,target=/b true'
  const { vertices } = await lowered(`FROM scratch AS none\nFROM files\n${run}\nCOPY a b\n`, { from: { namedContext } })
  const copies = vertices.filter(({ op }) => op.kind === 'copy').map(({ name, copyOf }) => [name, copyOf === null ? null : copyOf?.name])
  expect(copies).toEqual([
    ['FROM context files', '[context files] load files'],
    ['[internal] mount / of build context', '[internal] load build context'],
    ['[internal] mount scratch', null],
    ['[stage-1 2/3] COPY a b', undefined],
  ])
})
