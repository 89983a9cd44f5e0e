import { describe, expect, test } from '@jest/globals'
import fc from 'fast-check'
import { type Digest, sha256 } from '../../../src/base/digest.ts'
import { Login } from '../../../src/base/mask-url.ts'
import { decodeName, encodeName } from '../../../src/base/utf8.ts'
import type { ContextOp, CopyOp, CopyOpSource, ExecOp, ExecOpMount, GitOp, HttpOp, ImageOp, Op, WorkdirOp } from '../../../src/graph/op.ts'
import { portable, restore, withheldOf } from '../../../src/graph/wire/op.ts'
import { type PortableInput, type PortableStep, readStep, writeStep } from '../../../src/graph/wire/step.ts'
import { type LayerName, layerName } from '../../../src/values/layer-name.ts'
import type { Platform } from '../../../src/values/platform.ts'
import { type ProcessSettings, processSettings } from '../../../src/values/process-settings.ts'

type Members<T> = { readonly [K in keyof T]?: fc.Arbitrary<unknown> }

/** The members of `optional` may be left out. */
function members<T>(required: Members<T>, optional: Members<T> = {}): fc.Arbitrary<T> {
  const requiredKeys = Object.keys(required)
  const model = { ...required, ...optional } as Record<string, fc.Arbitrary<unknown>>
  return fc.record(model, { requiredKeys, noNullPrototype: true }) as fc.Arbitrary<unknown> as fc.Arbitrary<T>
}

const is = <const T>(value: T) => fc.constant(value)
/** Any bytes, as names have them. */
const text = fc.oneof(fc.string(), fc.string({ unit: 'binary' }), fc.uint8Array({ maxLength: 12 }).map(decodeName))
const texts = fc.array(text, { maxLength: 4 })
const word = fc.integer({ min: 0, max: 2 ** 32 - 1 })
const size = fc.nat({ max: Number.MAX_SAFE_INTEGER })
const digest = fc.nat(1000).map((number) => sha256(String(number)))
const login = text.filter((secret) => secret.length > 3).map((secret) => Login.of(`user:${secret}`))
const platform = members<Platform>({ os: text, architecture: text }, { variant: text, osVersion: text })

const settings = members<ProcessSettings>({
  extraHosts: fc.array(members({ host: text, ip: text }), { maxLength: 2 }),
  ulimits: fc.array(members({ name: text, soft: fc.integer({ min: -1 }), hard: fc.integer({ min: -1 }) }), { maxLength: 2 }),
  shmSize: fc.option(size, { nil: undefined }),
  cgroupParent: fc.option(text, { nil: undefined }),
})

const mounted = { input: fc.nat(2), cacheId: text, written: text, triggerOf: text }
const asked = { id: text, required: fc.boolean(), mode: word, uid: word, gid: word }
type Mount<T extends ExecOpMount['type']> = Extract<ExecOpMount, { readonly type: T }>
const mounts: { readonly [T in ExecOpMount['type']]: fc.Arbitrary<Mount<T>> } = {
  bind: members<Mount<'bind'>>({ type: is('bind'), target: text, source: text, readonly: fc.boolean() }, { ...mounted, from: text }),
  cache: members<Mount<'cache'>>(
    { type: is('cache'), target: text, sharing: fc.constantFrom('shared', 'private', 'locked'), readonly: fc.boolean() },
    { ...mounted, id: text, from: text, source: text, mode: word, uid: word, gid: word },
  ),
  tmpfs: members<Mount<'tmpfs'>>({ type: is('tmpfs'), target: text, readonly: fc.boolean() }, { ...mounted, size }),
  secret: members<Mount<'secret'>>({ type: is('secret'), ...asked }, { ...mounted, target: text, env: text }),
  ssh: members<Mount<'ssh'>>({ type: is('ssh'), ...asked }, { ...mounted, target: text }),
}

const sources: { readonly [K in CopyOpSource['kind']]: fc.Arbitrary<Extract<CopyOpSource, { readonly kind: K }>> } = {
  path: members<Extract<CopyOpSource, { readonly kind: 'path' }>>({
    kind: is('path'),
    input: fc.integer({ min: -1, max: 2 }),
    path: text,
    unpack: fc.constantFrom('auto', true, false),
  }),
  content: members<Extract<CopyOpSource, { readonly kind: 'content' }>>({ kind: is('content'), name: text, text }),
}

const ops: { readonly [K in Op['kind']]: fc.Arbitrary<Extract<Op, { readonly kind: K }>> } = {
  image: members<ImageOp>({ kind: is('image'), name: text, platform, digest }, { resolved: digest }),
  context: members<ContextOp>({ kind: is('context'), name: text }),
  http: members<HttpOp>({ kind: is('http'), url: text, filename: text }, { login, checksum: digest, triggerOf: text }),
  git: members<GitOp>(
    { kind: is('git'), remote: text, keepGitDir: fc.boolean(), submodules: fc.boolean() },
    { login, ref: text, subdir: text, checksum: text, mtime: fc.constantFrom('checkout', 'commit'), triggerOf: text },
  ),
  exec: members<ExecOp>(
    {
      kind: is('exec'),
      args: texts,
      env: texts,
      proxyEnv: fc.array(
        fc.tuple(fc.constantFrom('HTTP_PROXY', 'no_proxy'), text).map(([name, value]) => `${name}=${value}`),
        { maxLength: 3 },
      ),
      cwd: text,
      user: text,
      hostname: text,
      network: fc.constantFrom('default', 'none', 'host'),
      security: fc.constantFrom('sandbox', 'insecure'),
      mounts: fc.array(fc.oneof(...Object.values(mounts)), { maxLength: 4 }),
      settings,
      platform,
    },
    { argNames: texts, script: members({ path: text, text }) },
  ),
  copy: members<CopyOp>(
    {
      kind: is('copy'),
      sources: fc.array(fc.oneof(...Object.values(sources)), { maxLength: 3 }),
      destination: text,
      link: fc.boolean(),
      parents: fc.boolean(),
      exclude: texts,
    },
    { written: text, chown: text, chmod: text, mirror: fc.boolean(), createdTime: fc.integer() },
  ),
  workdir: members<WorkdirOp>({ kind: is('workdir'), path: text, user: text }, { createdTime: fc.integer() }),
}
const anyOp: fc.Arbitrary<Op> = fc.oneof(...Object.values(ops))

function namesOf(rows: readonly (readonly [Digest, (below: readonly LayerName[]) => readonly LayerName[]])[]): LayerName[] {
  const names: LayerName[] = []
  for (const [diffId, over] of rows) names.push(layerName(diffId, [...over(names)]))
  return names
}

/** Layers of which each was made over some of those before it. */
const anyLayers = fc
  .array(fc.tuple(digest, fc.infiniteStream(fc.boolean())), { minLength: 1, maxLength: 6 })
  .map((rows) => namesOf(rows.map(([diffId, picks]) => [diffId, (names) => names.filter(() => picks.next().value)])))

const anyStep: fc.Arbitrary<PortableStep> = anyLayers.chain((layers) => {
  const snapshot = fc.subarray(layers)
  const input: fc.Arbitrary<PortableInput> = fc.oneof(
    members<Extract<PortableInput, { kind: 'layers' }>>({ kind: is('layers'), layers: snapshot }),
    members<Extract<PortableInput, { kind: 'context' }>>({ kind: is('context'), name: text }),
  )
  const op = anyOp.map(portable)
  return fc.record({ op, root: snapshot, inputs: fc.array(input, { minLength: 3, maxLength: 4 }) }, { noNullPrototype: true })
})

const bytes = (value: unknown) =>
  value instanceof Uint8Array ? value : Buffer.from(typeof value === 'string' ? value : JSON.stringify(value))
const problem = (value: unknown): string => {
  try {
    readStep(bytes(value))
    return 'nothing'
  } catch (error) {
    expect(error).toMatchObject({ code: 'STEP_INVALID', hint: expect.stringMatching(/./) })
    return (error as Error).message
  }
}

describe('a step as JSON', () => {
  test.each(Object.keys(ops) as Op['kind'][])('what is written of %s is read again', (kind) => {
    fc.assert(
      fc.property(anyStep, ops[kind] as fc.Arbitrary<Op>, (step, op) => {
        const whole = { ...step, op: portable(op) }
        const written = writeStep(whole)
        const read = readStep(bytes(written))
        expect(read).toStrictEqual(whole)
        expect(writeStep(read)).toBe(written)
      }),
    )
  })

  test('what the caller keeps is in none of it, and completes the op', () => {
    const secret = 'hunter2-hunter2'
    const secrets: readonly Op[] = [
      { kind: 'http', url: 'https://h.io/f', login: Login.of(`ann:${secret}`), filename: 'f' },
      { kind: 'git', remote: 'https://h.io/r', login: Login.of(secret), keepGitDir: false, submodules: true },
      { ...EXEC, proxyEnv: [`HTTP_PROXY=http://ann:${secret}@proxy`, 'no_proxy=h.io'] },
    ]
    for (const op of secrets) {
      const written = writeStep({ op: portable(op), root: [], inputs: [] })
      expect(written).not.toContain(secret)
      expect(restore(readStep(bytes(written)).op, withheldOf(op))).toEqual(op)
    }
    fc.assert(
      fc.property(anyOp, (op) => {
        expect(restore(portable(op), withheldOf(op))).toStrictEqual(op)
        expect(JSON.stringify(portable(op))).not.toMatch(/"login \d/)
      }),
    )
  })

  test('bytes of a name that are no UTF-8 survive', () => {
    const name = Buffer.from([0x61, 0xff, 0xc3, 0x28, 0xed, 0xa0, 0x80])
    const op = { kind: 'workdir', path: decodeName(name), user: '' } as const
    const read = readStep(bytes(writeStep({ op, root: [], inputs: [] })))
    expect(encodeName((read.op as typeof op).path)).toEqual(name)
  })
})

const EXEC: ExecOp = {
  kind: 'exec',
  args: ['true'],
  env: [],
  proxyEnv: [],
  cwd: '/',
  user: '',
  hostname: 'h',
  network: 'none',
  security: 'sandbox',
  mounts: [{ type: 'secret', id: 's', required: true, mode: 0o400, uid: 0, gid: 0 }],
  settings: processSettings({}),
  platform: { os: 'linux', architecture: 'amd64' },
}
const base = layerName(sha256('base'), [])
const WRITTEN = JSON.parse(
  writeStep({
    op: portable(EXEC),
    root: [base, layerName(sha256('top'), [base])],
    inputs: [{ kind: 'context', name: 'context' }],
  }),
)

describe('refused, with its place:', () => {
  const [mount] = WRITTEN.op.mounts
  const op = (change: object) => ({ ...WRITTEN, op: { ...WRITTEN.op, ...change } })
  test.each<[string, unknown, string]>([
    ['nothing', '', 'step: not JSON'],
    ['no object', [], 'step: not an object'],
    ['another version', { version: 2, more: 1 }, 'step: version: 2 is not known here, only 1'],
    ['no version', { ...WRITTEN, version: undefined }, 'step: version: missing'],
    ['a member more', { ...WRITTEN, more: 1 }, 'step: "more": unknown'],
    ['one that objects have', `{"__proto__":{},${JSON.stringify(WRITTEN).slice(1)}`, 'step: "__proto__": unknown'],
    ['a member less', { ...WRITTEN, root: undefined }, 'step: root: missing'],
    ['a member of the op more', op({ more: 1 }), 'step: op."more": unknown'],
    ['what the caller keeps', op({ proxyEnv: [] }), 'step: op."proxyEnv": unknown'],
    ['an unknown kind', op({ kind: 'constructor' }), 'step: op.kind: not one of image, context, http, git, exec, copy, workdir'],
    ['a number as text', op({ cwd: 1 }), 'step: op.cwd: not a text'],
    ['half a character', op({ cwd: '\ud800' }), 'step: op.cwd: not a text'],
    ['null', op({ settings: { ...WRITTEN.op.settings, shmSize: null } }), 'step: op.settings.shmSize: not a whole number from 0'],
    ['a fraction', op({ settings: { ...WRITTEN.op.settings, shmSize: 0.5 } }), 'step: op.settings.shmSize: not a whole number from 0'],
    ['a list that is none', op({ args: { 0: 'true' } }), 'step: op.args: not a list'],
    ['a wrong item', op({ mounts: [mount, { ...mount, uid: -1 }] }), 'step: op.mounts[1].uid: not a whole number from 0 to 4294967295'],
    ['a word', op({ mounts: [{ ...mount, required: 'true' }] }), 'step: op.mounts[0].required: not true or false'],
    ['a choice', op({ network: 'bridge' }), 'step: op.network: not one of "default", "none", "host"'],
    ['an input that is not there', op({ mounts: [{ ...mount, input: 1 }] }), 'step: op.mounts[0].input: there are 1 inputs'],
    ['a digest', { ...WRITTEN, layers: [{ diffId: 'sha256:x', over: [] }] }, 'step: layers[0].diffId: not a sha256 digest'],
    [
      'a layer over itself',
      { ...WRITTEN, layers: [{ diffId: base.diffId, over: [0] }] },
      'step: layers[0].over[0]: there is no layer 0 before it',
    ],
    ['a layer twice', { ...WRITTEN, layers: [WRITTEN.layers[0], WRITTEN.layers[0]] }, 'step: layers[1]: a layer that stands before'],
    ['a root of no layer', { ...WRITTEN, root: [2] }, 'step: root[0]: there is no layer 2 before it'],
    ['depth', `${'['.repeat(20)}${']'.repeat(20)}`, 'step: nested deeper than 16 levels'],
    ['length', `"${'a'.repeat(16 * 1024 * 1024)}"`, 'step: longer than 16777216 bytes'],
    ['many layers', { ...WRITTEN, root: Array(5000).fill(0) }, 'step: root: more than 4096 items'],
  ])('%s', (_what, value, message) => {
    expect(problem(value)).toBe(message)
  })

  test('whatever the bytes are', () => {
    const other = Buffer.from(JSON.stringify({ ...WRITTEN, op: { ...WRITTEN.op, cwd: '\xff' } }), 'latin1')
    expect(problem(other)).toBe('step: not JSON')
    fc.assert(fc.property(fc.uint8Array({ maxLength: 64 }), (data) => expect(problem(data)).toMatch(/^step: /)))
    fc.assert(fc.property(fc.json({ maxDepth: 4 }), (json) => expect(problem(json)).toMatch(/^step: /)))
  })

  test('whatever is changed in a step that is written: it is refused, or read and written as it is', () => {
    const value = fc.oneof(
      fc.jsonValue(),
      fc.constantFrom('__proto__', 'constructor', -1, 1e300, Number.MAX_SAFE_INTEGER + 1, {}, [], null),
    )
    fc.assert(
      fc.property(anyStep, fc.nat(), value, fc.boolean(), (step, at, other, isKey) => {
        const json = JSON.parse(writeStep(step))
        const places = placesOf(json)
        const [holder, key] = places[at % places.length] as Place
        if (isKey) holder[`${key}x`] = other
        else holder[key] = other
        const data = bytes(JSON.stringify(json))
        if (problem(data) === 'nothing') expect(readStep(bytes(writeStep(readStep(data))))).toEqual(readStep(data))
      }),
      { numRuns: 200 },
    )
  })
})

type Place = readonly [holder: Record<string, unknown>, key: string]

function placesOf(value: unknown): Place[] {
  if (value === null || typeof value !== 'object') return []
  return Object.entries(value).flatMap(([key, member]) => [[value as Record<string, unknown>, key] as const, ...placesOf(member)])
}

describe('the name of a layer', () => {
  const diffIds = ['a', 'b', 'c'].map((data) => sha256(data)) as [Digest, Digest, Digest]
  const stack = namesOf(diffIds.map((diffId) => [diffId, (below) => below]))

  test('is the chainID where each was made over all below it', () => {
    const [a, b, c] = diffIds
    expect(stack.map((name) => name.digest)).toEqual([a, sha256(`${a} ${b}`), sha256(`${sha256(`${a} ${b}`)} ${c}`)])
  })

  test('has what it was made over, and not what it stands on', () => {
    const linked = layerName(diffIds[2], [])
    expect(linked.digest).toBe(diffIds[2])
    const [a, b] = stack as [LayerName, LayerName]
    const over = [[], [a], [b], [a, b], [b, a], [a, linked], [linked], [a, b, linked]]
    const digests = over.map((layers) => layerName(diffIds[0], layers).digest)
    expect(new Set(digests).size).toBe(over.length)
  })
})
