import { chmodSync, mkdirSync, readdirSync, readFileSync, rmSync, utimesSync, writeFileSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { gunzipSync } from 'node:zlib'
import { afterEach, beforeAll, beforeEach, describe, expect, test } from '@jest/globals'
import type { BuildEvent } from '../../src/base/events.ts'
import type { Verdict } from '../../src/base/explanation.ts'
import { build } from '../../src/build.ts'
import type { BuildOptions } from '../../src/build-options.ts'
import { plan } from '../../src/plan.ts'
import { script } from '../support/cli.ts'

let work = ''
let busybox = ''
let context = ''

beforeAll(async () => {
  const layout = script('busybox-layout.mjs')
  if (layout.status !== 0) throw new Error(layout.stderr)
  busybox = `oci-layout://${layout.stdout.trim()}`
}, 300_000)
beforeEach(async () => {
  work = await mkdtemp(join(tmpdir(), 'tbuild-explain-'))
  context = join(work, 'context')
  mkdirSync(context)
})
afterEach(() => rm(work, { recursive: true, force: true }))

function write(files: Record<string, string>): void {
  for (const [name, text] of Object.entries(files)) {
    mkdirSync(join(context, name, '..'), { recursive: true })
    writeFileSync(join(context, name), text)
    chmodSync(join(context, name), 0o644)
  }
}

function options(more: Partial<BuildOptions> = {}): BuildOptions {
  return { context, root: join(work, 'store'), buildContexts: { busybox }, ...more }
}

/** Verdicts by the instruction's text, without `[stage 2/3] `. */
async function told(run: (onEvent: (event: BuildEvent) => void) => Promise<unknown>): Promise<Map<string, Verdict>> {
  const names = new Map<string, string>()
  const verdicts = new Map<string, Verdict>()
  await run((event) => {
    if (event.type === 'vertex') names.set(event.id, event.name.replace(/^\[[^\]]*\] (?=[A-Z])/, ''))
    if (event.type === 'explain') verdicts.set(names.get(event.id) as string, event.verdict)
  })
  return verdicts
}

async function made(more: Partial<BuildOptions> = {}): Promise<{ id: string; verdicts: Map<string, Verdict> }> {
  let id = ''
  const verdicts = await told(async (onEvent) => {
    id = (await build(options({ explain: true, ...more }), { onEvent })).images[0]?.configDigest as string
  })
  return { id, verdicts }
}

const planned = (more: Partial<BuildOptions> = {}) => told((onEvent) => plan(options(more), { onEvent }))
const states = (verdicts: Map<string, Verdict>) => Object.fromEntries([...verdicts].map(([name, { state }]) => [name, state]))
const changes = (verdict: Verdict | undefined) =>
  verdict?.state === 'miss' && verdict.cause.reason === 'changed' ? verdict.cause.changes : undefined

describe('early cutoff', () => {
  const FILE = [
    'FROM busybox',
    'RUN --mount=type=bind,source=src,target=/src grep -v "^#" /src/a > /a',
    'COPY b /b',
    'RUN cat /a /b > /c',
    'WORKDIR /d',
    'RUN cp /c e',
  ].join('\n')

  test('a comment changes, what is made does not: everything behind it hits, and the image is the same', async () => {
    write({ Dockerfile: FILE, 'src/a': '# one\ncode\n', b: 'b\n' })
    const first = await made()
    write({ 'src/a': '# another comment\ncode\n' })
    const second = await made()
    expect(second.verdicts.get('COPY b /b')).toEqual({ state: 'hit', sameFiles: true })
    expect(second.verdicts.get('RUN cp /c e')).toEqual({ state: 'hit', sameFiles: true })
    expect(changes(second.verdicts.get('RUN --mount=type=bind,source=src,target=/src grep -v "^#" /src/a > /a'))).toMatchObject([
      { type: 'files', origin: 'build context', files: [{ path: 'src/a', change: 'content' }] },
    ])
    expect(second.id).toBe(first.id)
    // The records that were taken over are found by their own keys from now on.
    expect(new Set(Object.values(states(await planned())))).toEqual(new Set(['hit']))
  }, 60_000)

  test('K5 a cache mount from a stage whose files change: the RUN runs, and they are named', async () => {
    const run = 'RUN --mount=type=cache,from=deps,source=/d,target=/c cat /c/f > /out'
    write({ Dockerfile: `FROM scratch AS deps\nCOPY f /d/f\nFROM busybox\n${run}`, f: 'old\n' })
    await made()
    write({ f: 'new\n' })
    const { verdicts } = await made()
    expect(changes(verdicts.get(run))).toMatchObject([{ type: 'files', files: [{ path: 'd/f', change: 'content' }] }])
  }, 60_000)

  test('the code changes: everything behind it runs', async () => {
    write({ Dockerfile: FILE, 'src/a': 'code\n', b: 'b\n' })
    const first = await made()
    write({ 'src/a': 'cade\n' })
    const second = await made()
    expect(second.verdicts.get('RUN cp /c e')?.state).toBe('miss')
    expect(second.id).not.toBe(first.id)
  }, 60_000)

  test('a file that is copied stays in the image, so that behind it nothing is cut off though a RUN makes the same', async () => {
    write({ Dockerfile: 'FROM busybox\nCOPY a /a\nRUN grep -v "^#" /a > /b\nRUN cp /b /c', a: '# one\ncode\n' })
    await made()
    write({ a: '# two\ncode\n' })
    expect((await made()).verdicts.get('RUN cp /b /c')?.state).toBe('miss')
  }, 60_000)

  test('with another command behind the same files nothing is taken over', async () => {
    write({ Dockerfile: 'FROM busybox\nRUN echo 1 > /a\nRUN cp /a /b' })
    await made()
    write({ Dockerfile: 'FROM busybox\nRUN echo 1 | cat > /a\nRUN cp /a /c' })
    expect((await made()).verdicts.get('RUN cp /a /c')?.state).toBe('miss')
  }, 60_000)

  test('--no-cache runs everything', async () => {
    write({ Dockerfile: FILE, 'src/a': 'code\n', b: 'b\n' })
    await made()
    const verdicts = [...(await made({ noCache: true })).verdicts.values()]
    expect(verdicts.length).toBeGreaterThanOrEqual(5)
    const mounts = verdicts.filter(({ state }) => state === 'hit')
    // The copy of the context for a mount is no step of the Dockerfile.
    expect(mounts.length).toBeLessThanOrEqual(1)
  }, 60_000)
})

describe('CVE-2024-24557: each change of a Dockerfile, once', () => {
  const LINES = {
    user: 'USER root',
    env: 'ENV A=1',
    run: 'RUN --network=none echo $A > /run',
    copy: 'COPY --chmod=644 a /copy',
    add: 'ADD a /add/',
    workdir: 'WORKDIR /w',
    last: 'RUN --mount=type=tmpfs,target=/t true',
    health: 'HEALTHCHECK CMD true',
    onbuild: 'ONBUILD RUN true',
    label: 'LABEL a=1',
    maintainer: 'MAINTAINER me',
    cmd: 'CMD ["a"]',
    entrypoint: 'ENTRYPOINT ["a"]',
    expose: 'EXPOSE 80',
    volume: 'VOLUME /v',
    stop: 'STOPSIGNAL SIGINT',
    shell: 'SHELL ["/bin/sh", "-c"]',
  }
  const CHANGED: { readonly [K in keyof typeof LINES]: readonly string[] } = {
    user: ['USER 1'],
    env: ['ENV A=2', 'ENV B=1'],
    run: ['RUN --network=none echo $A > /rum', 'RUN echo $A > /run'],
    copy: ['COPY --chmod=600 a /copy', 'COPY --chmod=644 --chown=1 a /copy', 'COPY --chmod=644 b /copy', 'COPY --chmod=644 a /other'],
    add: ['ADD b /add/', 'ADD --link a /add/', 'ADD a /ad/'],
    workdir: ['WORKDIR /x'],
    last: [
      'RUN --mount=type=tmpfs,target=/u true',
      'RUN true',
      'RUN --mount=type=cache,target=/t true',
      'RUN --mount=type=tmpfs,target=/t ["true"]',
    ],
    health: ['HEALTHCHECK CMD false', 'HEALTHCHECK --retries=2 CMD true', 'HEALTHCHECK NONE'],
    onbuild: ['ONBUILD RUN false'],
    label: ['LABEL a=2', 'LABEL b=1'],
    maintainer: ['MAINTAINER you'],
    cmd: ['CMD a', 'CMD ["b"]'],
    entrypoint: ['ENTRYPOINT a', 'ENTRYPOINT ["b"]'],
    expose: ['EXPOSE 81', 'EXPOSE 80/udp'],
    volume: ['VOLUME /u'],
    stop: ['STOPSIGNAL SIGTERM'],
    shell: ['SHELL ["/bin/ash", "-c"]'],
  }
  const METADATA = new Set(['health', 'onbuild', 'label', 'maintainer', 'cmd', 'entrypoint', 'expose', 'volume', 'stop', 'shell'])
  const dockerfile = (lines: object) => ['FROM busybox', ...Object.values(lines)].join('\n')

  test('an instruction that makes a layer misses, another one makes another image; the same file is all hits', async () => {
    write({ Dockerfile: dockerfile(LINES), a: 'a\n', b: 'b\n' })
    const first = await made()
    const again = await made()
    expect(again.id).toBe(first.id)
    expect(new Set(Object.values(states(again.verdicts)))).toEqual(new Set(['hit']))
    for (const [name, replacements] of Object.entries(CHANGED)) {
      for (const line of replacements) {
        write({ Dockerfile: dockerfile({ ...LINES, [name]: line }) })
        if (METADATA.has(name)) expect([line, (await made()).id === first.id]).toEqual([line, false])
        else expect([line, Object.values(states(await planned())).includes('miss')]).toEqual([line, true])
      }
    }
  }, 120_000)
})

describe('--normalize-modes', () => {
  const DOCKERFILE = 'FROM busybox\nCOPY . /app\nRUN stat -c "%a %n" /app/* /app/d/* > /modes'

  async function withUmask(group: 'open' | 'closed', more: Partial<BuildOptions>) {
    write({ Dockerfile: DOCKERFILE, run: 'x', plain: 'y', 'd/e': 'z' })
    const bits = group === 'open' ? 0o020 : 0
    for (const [path, mode] of [
      ['run', 0o755],
      ['plain', 0o644],
      ['d', 0o755],
      ['d/e', 0o644],
      ['Dockerfile', 0o644],
      ['.', 0o755],
    ] as const) {
      chmodSync(join(context, path), mode | bits)
      utimesSync(join(context, path), 1_700_000_000, 1_700_000_000)
    }
    return made(more)
  }

  test('another umask is a hit and the same image, and the modes are those of git', async () => {
    const first = await withUmask('closed', { normalizeModes: true })
    const second = await withUmask('open', { normalizeModes: true })
    expect(new Set(Object.values(states(second.verdicts)))).toEqual(new Set(['hit']))
    expect(second.id).toBe(first.id)
  }, 60_000)

  test('the image is a function of the key: what an open umask builds anew is the same files', async () => {
    await withUmask('open', { normalizeModes: true })
    const second = await withUmask('closed', { normalizeModes: true, root: join(work, 'store2') })
    const plain = await withUmask('closed', {})
    expect(new Set(Object.values(states(second.verdicts)))).toEqual(new Set(['miss']))
    // Without the option these files have the same modes, so that the first build's records are found.
    expect(new Set(Object.values(states(plain.verdicts)))).toEqual(new Set(['hit']))
  }, 60_000)

  test('K12 without it another umask misses, and only modes are told', async () => {
    await withUmask('closed', {})
    const { verdicts } = await withUmask('open', {})
    const files = changes(verdicts.get('COPY . /app'))?.flatMap((change) => (change.type === 'files' ? (change.files ?? []) : []))
    expect(files?.map(({ change }) => change)).toEqual(files?.map(() => 'mode'))
    expect(files).toContainEqual({ path: 'd/', change: 'mode', from: '0755', to: '0775' })
    expect(files).toContainEqual({ path: 'd/e', change: 'mode', from: '0644', to: '0664' })
  }, 60_000)

  test('the executable bit counts', async () => {
    await withUmask('closed', { normalizeModes: true })
    chmodSync(join(context, 'plain'), 0o744)
    expect((await planned({ normalizeModes: true })).get('COPY . /app')?.state).toBe('miss')
  }, 60_000)

  test('.tbuild.json sets it, the option wins, and mistakes in it are told', async () => {
    write({ '.tbuild.json': '{"normalizeModes": true}' })
    await withUmask('closed', {})
    expect((await withUmask('open', {})).verdicts.get('COPY . /app')?.state).toBe('hit')
    expect((await planned({ normalizeModes: false })).get('COPY . /app')?.state).toBe('miss')
    for (const text of ['{"normaliseModes": true}', '{"normalizeModes": 1}', '[]', '{']) {
      write({ '.tbuild.json': text })
      await expect(planned()).rejects.toMatchObject({ code: 'CONFIG_INVALID' })
    }
  }, 60_000)
})

test('K3 no record, list or log in the store holds the value of a secret, nor a variable that is named like one', async () => {
  const value = 'correct-horse-battery-staple'
  write({
    Dockerfile: [
      'FROM busybox',
      'ARG DB_PASSWORD',
      'RUN --mount=type=secret,id=token --mount=type=secret,id=other,env=OTHER cksum=$(cat /run/secrets/token | wc -c) && test $OTHER',
    ].join('\n'),
  })
  writeFileSync(join(work, 'token'), value)
  const secrets = ['token', 'other'].map((id) => ({ id, source: { file: join(work, 'token') } }))
  await made({ secrets, buildArgs: { DB_PASSWORD: value } })
  const cache = join(work, 'store/v1/cache')
  const names = readdirSync(cache, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile())
  expect(names.length).toBeGreaterThan(1)
  for (const { parentPath, name } of names) {
    const bytes = readFileSync(join(parentPath, name))
    expect([name, (bytes[0] === 0x1f ? gunzipSync(bytes) : bytes).includes(value)]).toEqual([name, false])
  }
  // Another secret is no miss, another password is one whose value is not told.
  writeFileSync(join(work, 'token'), 'rotated')
  expect(new Set(Object.values(states(await planned({ secrets, buildArgs: { DB_PASSWORD: value } }))))).toEqual(new Set(['hit']))
  const verdicts = [...(await planned({ secrets, buildArgs: { DB_PASSWORD: 'x' } })).values()]
  expect(changes(verdicts[0])).toEqual([
    { type: 'variable', kind: 'ARG', name: 'DB_PASSWORD', from: '***', to: '***', secret: true, used: false },
  ])
}, 60_000)

describe('verdicts', () => {
  test('a --link layer is a hit on whatever it stands; what is above follows the step that changed', async () => {
    write({ Dockerfile: 'FROM busybox\nRUN echo 1 > /1\nCOPY --link a /a\nRUN echo 3 > /3', a: 'a' })
    await made()
    write({ Dockerfile: 'FROM busybox\nRUN echo 2 > /1\nCOPY --link a /a\nRUN echo 3 > /3' })
    const verdicts = await planned()
    expect(states(verdicts)).toEqual({ 'RUN echo 2 > /1': 'miss', 'COPY --link a /a': 'hit', 'RUN echo 3 > /3': 'miss' })
    expect(changes(verdicts.get('RUN echo 3 > /3'))).toMatchObject([{ type: 'step', name: '[2/4] RUN echo 2 > /1' }])
  }, 60_000)

  test('a dry run runs nothing, and is told alike by the build', async () => {
    write({ Dockerfile: 'FROM busybox\nCOPY a /a\nRUN exit 3', a: 'a' })
    expect(states(await planned())).toEqual({ 'COPY a /a': 'miss', 'RUN exit 3': 'miss' })
    expect(readdirSync(join(work, 'store/v1/layers'))).toEqual([])
    await expect(made()).rejects.toMatchObject({ code: 'RUN_FAILED' })
  }, 60_000)

  test('a lost list of files loses the names, not the verdict', async () => {
    write({ Dockerfile: 'FROM busybox\nCOPY a /a', a: 'a' })
    await made()
    rmSync(join(work, 'store/v1/cache/listings'), { recursive: true })
    write({ a: 'b' })
    expect(changes((await planned()).get('COPY a /a'))).toEqual([{ type: 'files', origin: 'build context', files: undefined, more: 0 }])
  }, 60_000)

  test('layers that are gone are told as lost', async () => {
    write({ Dockerfile: 'FROM busybox\nCOPY a /a', a: 'a' })
    await made()
    const layers = join(work, 'store/v1/layers')
    for (const name of readdirSync(layers)) rmSync(join(layers, name), { recursive: true })
    expect((await planned()).get('COPY a /a')).toEqual({ state: 'miss', cause: { reason: 'lost' } })
  }, 60_000)

  test.each([
    ['RUN echo $WORD', true],
    [`RUN echo "\${WORD:-x}"`, true],
    ['RUN echo $WORDS', false],
    ['RUN echo WORD', false],
    ['RUN ["echo", "WORD"]', false],
  ])(
    '%s uses WORD: %s',
    async (run, used) => {
      write({ Dockerfile: `FROM busybox\nARG WORD\n${run}` })
      await made({ buildArgs: { WORD: '1' } })
      const verdicts = await planned({ buildArgs: { WORD: '2' } })
      expect(changes(verdicts.get(run))).toMatchObject([{ type: 'variable', kind: 'ARG', name: 'WORD', from: '1', to: '2', used }])
    },
    60_000,
  )
})
