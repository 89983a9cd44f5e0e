import { expect, test } from '@jest/globals'
import { sha256 } from '../../../src/base/digest.ts'
import { execNode } from '../../../src/cache/buildkit/exec-op.ts'
import type { CopyOp, ExecOp, GitOp, HttpOp, Op, WorkdirOp } from '../../../src/graph/op.ts'
import { handlerOf } from '../../../src/ops/table.ts'
import type { KeyDeps, StepIo } from '../../../src/ops/types.ts'
import { stepKey } from '../../../src/solve/key.ts'
import { processSettings } from '../../../src/values/process-settings.ts'

/** Stores that are out there have records under these keys: one that changes makes every build begin anew. */
const refuse = () => Promise.reject(new Error('no key of these needs it'))
const deps: KeyDeps = {
  content: { digest: async (_ref, selector) => sha256(JSON.stringify(selector)) },
  layers: { directories: refuse },
  secrets: { withholds: () => true },
  remotes: {
    file: async () => ({ name: 'f', digest: sha256('f'), mtime: 5 }),
    commit: async () => ({ commit: 'c'.repeat(40) }),
  },
}
const io: StepIo = { vertex: '1', signal: new AbortController().signal, emit: () => {} }
const source = { kind: 'snapshot', layers: [] } as const

const plain: ExecOp = {
  kind: 'exec',
  args: ['/bin/sh', '-c', 'make'],
  env: ['PATH=/bin', 'TOKEN=x'],
  proxyEnv: ['HTTP_PROXY=http://proxy'],
  cwd: '/',
  user: '',
  hostname: 'buildkitsandbox',
  network: 'default',
  security: 'sandbox',
  mounts: [],
  settings: processSettings({}),
  platform: { os: 'linux', architecture: 'amd64' },
}
const full: ExecOp = {
  ...plain,
  argNames: ['A'],
  network: 'none',
  security: 'insecure',
  script: { path: '/dev/pipes/EOF', text: '#!/bin/sh\n' },
  settings: {
    extraHosts: [{ host: 'db', ip: '10.0.0.1' }],
    ulimits: [{ name: 'nofile', soft: 1, hard: -1 }],
    shmSize: 1 << 20,
    cgroupParent: '/builds',
  },
  mounts: [
    { type: 'bind', target: '/b', source: '/x', readonly: true, input: 0 },
    { type: 'cache', target: '/c', readonly: false, sharing: 'shared', cacheId: '/c', input: 0, mode: 0o755 },
    { type: 'tmpfs', target: '/t', size: 5, readonly: false },
    { type: 'secret', id: 's', target: '/s', mode: 0o400, uid: 1, gid: 2, required: true, triggerOf: 'image' },
    { type: 'ssh', id: 'default', mode: 0o600, uid: 0, gid: 0, required: false },
  ],
}
const copy: CopyOp = {
  kind: 'copy',
  sources: [
    { kind: 'path', input: 0, path: '/a/b', unpack: 'auto' },
    { kind: 'content', name: 'EOF', text: 'x' },
    { kind: 'path', input: -1, path: '/n', unpack: false },
  ],
  destination: '/x/',
  chown: '1:1',
  chmod: '0755',
  link: false,
  parents: true,
  exclude: ['*.md'],
  createdTime: 7,
}
const workdir: WorkdirOp = { kind: 'workdir', path: '/w', user: 'web', createdTime: 7 }
const http: HttpOp = { kind: 'http', url: 'https://example.org/f', filename: 'f' }
const git: GitOp = { kind: 'git', remote: 'https://example.org/r.git', ref: 'main', keepGitDir: true, submodules: false }

test.each<[string, Op, string]>([
  ['RUN', plain, 'sha256:895d2d6f2aa167fb948e59f25c62dac18c4a55a5569d0913b53a76716652f489'],
  ['RUN with all that there is', full, 'sha256:87ec21cff6cdaa40ce8e88fbee9924882129d40e5c26b78e111b5ac9f5f8076a'],
  ['COPY', copy, 'sha256:c9974d87639a9cd0b5559ce6ae87a13d96f6af9f0ddaa3150131175a03e16c34'],
  ['WORKDIR', workdir, 'sha256:5a736a8a8e224fde13b221137b5e3497cb4fb6a62b457c4f3a87e5fa9e5526e3'],
  ['ADD of a URL', http, 'sha256:d552a7bfdd183ffedca4ca6dc0dcd0ad4a6d788044bf4d1bc4575fbbad384597'],
  ['ADD of a repository', git, 'sha256:0b84de3e22c2d7d17064c3763ba42a24b94443beb4645433c830c268e5fc3882'],
])('the key of %s is what it was', async (_name, op, digest) => {
  const parts = (await handlerOf(op).key?.(op, [source], deps, io)) ?? []
  expect(stepKey(op.kind, sha256('root'), parts).digest).toBe(digest)
})

test.each<[string, ExecOp, readonly string[]]>([
  ['RUN', plain, ['sha256:a71d7427eabcfb3b78801ddcabbff96ed23ee4cd94160406abdb335313dc4af7']],
  [
    'RUN with all that there is',
    full,
    [
      'sha256:f661fd9690dd3054e88340f8394db207967dc018dbca6b63aa454a1dbae4b099',
      'sha256:b0a9e5e575288a37e0ac404fd58a7e2bfed6d9eed3e140bb0f96e15c4e81d485',
    ],
  ],
])("BuildKit's key of %s is what it was", (_name, op, records) => {
  expect(execNode(op, null, () => ({ node: null })).records).toEqual(records)
})
