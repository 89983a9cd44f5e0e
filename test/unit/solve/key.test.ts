import { describe, expect, test } from '@jest/globals'
import fc from 'fast-check'
import { type Digest, sha256 } from '../../../src/base/digest.ts'
import type { CopyOp, ExecOp, ExecOpMount, WorkdirOp } from '../../../src/graph/op.ts'
import type { Ref } from '../../../src/ops/ref.ts'
import { handlerOf } from '../../../src/ops/table.ts'
import type { KeyDeps, RootPart, StepIo } from '../../../src/ops/types.ts'
import { actionOf, stepKey } from '../../../src/solve/key.ts'
import type { KeyPart } from '../../../src/store/types.ts'
import { layeredView } from '../../../src/tree/view.ts'
import { type ProcessSettings, processSettings } from '../../../src/values/process-settings.ts'

/** A source whose content is its identity. */
const files = (identity: string): Ref => ({
  kind: 'files',
  identity,
  view: layeredView([]),
  resetOwner: true,
  hiddenBy: () => undefined,
})
const refuse = () => Promise.reject(new Error('no key of these needs it'))
const deps: KeyDeps = {
  content: { digest: async (ref, selector) => sha256(JSON.stringify([{ ...ref, view: undefined }, selector])) },
  layers: { directories: refuse },
  secrets: { withholds: () => false },
  remotes: { file: refuse, commit: refuse },
}
const io: StepIo = { vertex: '1', signal: new AbortController().signal, emit: () => {} }

async function keyOf(op: ExecOp | CopyOp | WorkdirOp, inputs: readonly Ref[] = [files('a')], root: RootPart = null): Promise<Digest> {
  return stepKey(op.kind, root, (await handlerOf(op).key?.(op, inputs, deps, io)) ?? []).digest
}

/** For each member a change of it; without one, a member cannot be added to an op before somebody has thought of its key. */
type Changes<T> = { readonly [K in keyof Required<Omit<T, 'kind'>>]: T[K] }

const RUN: ExecOp = {
  kind: 'exec',
  args: ['/bin/sh', '-c', 'make'],
  env: ['PATH=/bin', 'A=1'],
  proxyEnv: [],
  cwd: '/',
  user: '',
  hostname: 'buildkitsandbox',
  network: 'default',
  security: 'sandbox',
  mounts: [],
  settings: processSettings({}),
  platform: { os: 'linux', architecture: 'amd64' },
}

const CACHE: ExecOpMount = { type: 'cache', target: '/c', readonly: false, sharing: 'shared', cacheId: '/c' } as ExecOpMount

describe('CVE-2024-24557: any change of a RUN misses', () => {
  const changes: Omit<Changes<ExecOp>, 'proxyEnv' | 'argNames' | 'settings'> = {
    args: ['/bin/sh', '-c', 'make all'],
    env: ['PATH=/bin', 'A=2'],
    cwd: '/src',
    user: 'web',
    hostname: 'host',
    network: 'none',
    security: 'insecure',
    mounts: [CACHE],
    script: { path: '/dev/pipes/EOF', text: '#!/bin/sh\n' },
    platform: { os: 'linux', architecture: 'arm64' },
  }
  test.each(Object.entries(changes))('%s', async (member, value) => {
    expect(await keyOf({ ...RUN, [member]: value })).not.toBe(await keyOf(RUN))
    expect(await keyOf({ ...RUN, [member]: structuredClone(value) })).toBe(await keyOf({ ...RUN, [member]: value }))
  })

  const free: Pick<Changes<ExecOp>, 'proxyEnv' | 'argNames'> = {
    proxyEnv: ['HTTP_PROXY=http://proxy'],
    argNames: ['A'],
  }
  test.each(Object.entries(free))('K3 but %s', async (member, value) => {
    expect(await keyOf({ ...RUN, [member]: value })).toBe(await keyOf(RUN))
  })

  const set = (given: Partial<ProcessSettings>): ExecOp => ({ ...RUN, settings: processSettings(given) })
  const settings: Omit<Changes<ProcessSettings>, 'shmSize'> = {
    extraHosts: [{ host: 'db', ip: '10.0.0.1' }],
    ulimits: [{ name: 'nofile', soft: 1, hard: 2 }],
    cgroupParent: '/limits',
  }
  test.each(Object.entries(settings))('setting %s', async (member, value) => {
    expect(await keyOf(set({ [member]: value }))).not.toBe(await keyOf(RUN))
    expect(await keyOf(set({ [member]: structuredClone(value) }))).toBe(await keyOf(set({ [member]: value })))
  })

  const freeSettings: Pick<Changes<ProcessSettings>, 'shmSize'> = { shmSize: 1 << 20 }
  test.each(Object.entries(freeSettings))('K3 but setting %s', async (member, value) => {
    expect(await keyOf(set({ [member]: value }))).toBe(await keyOf(RUN))
  })

  test('K3 the address of --add-host is free, its name is not', async () => {
    const withHost = (host: string, ip: string) => keyOf(set({ extraHosts: [{ host, ip }] }))
    expect(await withHost('db', '10.0.0.1')).toBe(await withHost('db', '10.0.0.2'))
    expect(await withHost('db', '10.0.0.1')).not.toBe(await withHost('cache', '10.0.0.1'))
  })

  const mount = (type: string, more: object): ExecOpMount => ({ type, target: '/m', ...more }) as ExecOpMount
  const bind = mount('bind', { readonly: true, source: '/', input: 0 })
  const secret = mount('secret', { id: 'token', mode: 0o400, uid: 0, gid: 0, required: true })
  test.each<[string, ExecOpMount, ExecOpMount]>([
    ['target', bind, { ...bind, target: '/n' } as ExecOpMount],
    ['bind source', bind, { ...bind, source: '/x' } as ExecOpMount],
    ['bind rw', bind, { ...bind, readonly: false } as ExecOpMount],
    ['cache source', CACHE, { ...CACHE, source: '/x' } as ExecOpMount],
    ['tmpfs size', mount('tmpfs', {}), mount('tmpfs', { size: 5 })],
    ['secret id', secret, { ...secret, id: 'other' } as ExecOpMount],
    ['secret env', secret, { ...secret, env: 'TOKEN' } as ExecOpMount],
    ['secret mode', secret, { ...secret, mode: 0o444 } as ExecOpMount],
    ['secret required', secret, { ...secret, required: false } as ExecOpMount],
    ['ssh required', mount('ssh', { id: 'default' }), mount('ssh', { id: 'default', required: true })],
    ['cache from', CACHE, { ...CACHE, input: 0 } as ExecOpMount],
    ['type', secret, { ...secret, type: 'ssh' } as ExecOpMount],
  ])('mount: %s', async (_name, before, after) => {
    expect(await keyOf({ ...RUN, mounts: [before] })).not.toBe(await keyOf({ ...RUN, mounts: [after] }))
  })
  test('K5 the content of a bind mount', async () => {
    const op = { ...RUN, mounts: [bind] }
    expect(await keyOf(op, [files('a')])).not.toBe(await keyOf(op, [files('b')]))
  })
  test.each([undefined, '/below'])('K5 the content of what a cache mount is from, at %s', async (source) => {
    const op = { ...RUN, mounts: [{ ...CACHE, input: 0, source } as ExecOpMount] }
    expect(await keyOf(op, [files('a')])).not.toBe(await keyOf(op, [files('b')]))
  })
  test('K4 the id of a cache mount is free', async () => {
    expect(await keyOf({ ...RUN, mounts: [CACHE] })).toBe(await keyOf({ ...RUN, mounts: [{ ...CACHE, cacheId: 'other' } as ExecOpMount] }))
  })
})

describe('CVE-2024-24557: any change of a COPY misses', () => {
  const COPY: CopyOp = {
    kind: 'copy',
    sources: [{ kind: 'path', input: 0, path: '/a', unpack: false }],
    destination: '/x',
    link: false,
    parents: false,
    exclude: [],
  }
  const changes: Omit<Changes<CopyOp>, 'written'> = {
    sources: [{ kind: 'path', input: 0, path: '/b', unpack: false }],
    destination: '/x/',
    chown: '1:1',
    chmod: '0755',
    link: true,
    parents: true,
    mirror: true,
    exclude: ['*.md'],
    createdTime: 0,
  }
  test.each(Object.entries(changes))('%s', async (member, value) => {
    expect(await keyOf({ ...COPY, [member]: value })).not.toBe(await keyOf(COPY))
  })
  test('F2 but how the destination was written', async () => {
    expect(await keyOf({ ...COPY, written: '/x/.' })).toBe(await keyOf(COPY))
  })
  test('the content, ADD --unpack, a heredoc', async () => {
    const keys = [
      await keyOf(COPY),
      await keyOf(COPY, [files('b')]),
      await keyOf({ ...COPY, sources: [{ kind: 'path', input: 0, path: '/a', unpack: 'auto' }] }),
      await keyOf({ ...COPY, sources: [{ kind: 'path', input: -1, path: '/a', unpack: false }] }),
      await keyOf({ ...COPY, sources: [{ kind: 'content', name: 'a', text: '' }] }),
      await keyOf({ ...COPY, sources: [{ kind: 'content', name: 'a', text: 'x' }] }),
      await keyOf({ ...COPY, sources: [{ kind: 'content', name: 'b', text: 'x' }] }),
    ]
    expect(new Set(keys).size).toBe(keys.length)
  })
})

test('CVE-2024-24557: any change of a WORKDIR, and of what a step stands on, misses', async () => {
  const op: WorkdirOp = { kind: 'workdir', path: '/a', user: '' }
  const image = { image: sha256('image') }
  const keys = [
    await keyOf(op),
    await keyOf({ ...op, path: '/b' }),
    await keyOf({ ...op, user: '1' }),
    await keyOf({ ...op, createdTime: 1 }),
    await keyOf(op, [], image),
    await keyOf(op, [], sha256('image')),
  ]
  expect(new Set(keys).size).toBe(keys.length)
})

describe('K21: keys of lists of parts', () => {
  const parts = fc.array(fc.record({ name: fc.string(), value: fc.jsonValue({ noUnicodeString: false }) }), { maxLength: 5 })

  test('are the same for equal lists only', () => {
    const text = (list: unknown) => JSON.stringify(list, (_key, value) => (Object.is(value, -0) ? 0 : sorted(value)))
    fc.assert(
      fc.property(parts, parts, (a, b) => {
        const [left, right] = [a, b].map((list) => stepKey('exec', null, JSON.parse(JSON.stringify(list)) as KeyPart[]).digest)
        expect(left === right).toBe(text(a) === text(b))
      }),
    )
  })
  test('two steps that differ in their root alone do the same', () => {
    fc.assert(
      fc.property(parts, (list) => {
        const plain = (JSON.parse(JSON.stringify(list)) as KeyPart[]).filter(({ name }) => name !== 'root')
        const [one, other] = [stepKey('exec', null, plain), stepKey('exec', sha256('x'), plain)]
        expect(one.digest).not.toBe(other.digest)
        expect(actionOf(one.parts)).toBe(actionOf(other.parts))
      }),
    )
  })
})

function sorted(value: unknown): unknown {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return value
  return Object.fromEntries(Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1)))
}

test('a variable that is named like a secret tells its values apart without naming them', async () => {
  const parts = (value: string) => handlerOf(RUN).key?.({ ...RUN, env: [`API_TOKEN=${value}`] }, [], deps, io)
  const [one, other] = [await parts('hunter2'), await parts('hunter3')]
  expect(JSON.stringify(one)).not.toContain('hunter2')
  expect(one).not.toEqual(other)
  expect(one).toEqual(await parts('hunter2'))
})
