import { describe, expect, test } from '@jest/globals'
import { Login } from '../../../src/base/mask-url.ts'
import { GraphBuilder } from '../../../src/graph/builder.ts'
import type { ExecOp, GitOp, Op, Vertex } from '../../../src/graph/op.ts'
import { VertexDigests } from '../../../src/graph/vertex-digests.ts'
import { processSettings } from '../../../src/values/process-settings.ts'

const RUN: ExecOp = {
  kind: 'exec',
  args: ['/bin/sh', '-c', 'true'],
  env: ['PATH=/bin'],
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
const GIT: GitOp = { kind: 'git', remote: 'https://example.com/a.git', keepGitDir: false, submodules: true }

const run = (change: Partial<ExecOp> = {}): ExecOp => ({ ...RUN, ...change })

/** The digests of vertices with these ops, one on the other. */
function chain(...ops: readonly Op[]): string[] {
  const [builder, digests] = [new GraphBuilder(), new VertexDigests()]
  let root: Vertex | undefined
  return ops.map((op, index) => {
    root = builder.add({ op, root, name: `step ${index}`, step: `step ${index}` })
    return digests.of(root).digest
  })
}

/** The digests of vertices with these ops, in one build. */
function inParallel(...ops: readonly Op[]): string[] {
  const [builder, digests] = [new GraphBuilder(), new VertexDigests()]
  return ops.map((op) => digests.of(builder.add({ op, name: 'a', step: 'a' })).digest)
}

describe('the digest of a vertex', () => {
  test('is that of its op and what it stands on: the same in every build, whatever it is called', () => {
    const [below, above] = chain(run(), run({ args: ['x'] }))
    expect(above).toMatch(/^sha256:[0-9a-f]{64}$/)
    expect(chain(run(), run({ args: ['x'] }))).toEqual([below, above])
    expect(chain(run({ cwd: '/x' }), run({ args: ['x'] }))[1]).not.toBe(above)
    expect(chain(run({ args: ['x'] }))).not.toEqual([above])
    const builder = new GraphBuilder()
    const once = (noCache: boolean) => new VertexDigests().of(builder.add({ op: RUN, name: 'n', step: 's', noCache })).digest
    expect(once(false)).toBe(below)
    expect(once(true)).not.toBe(below)
  })

  test('comes with the digests of root and inputs, each once', () => {
    const [builder, digests] = [new GraphBuilder(), new VertexDigests()]
    const add = (op: Op, root?: Vertex, inputs: readonly Vertex[] = []) => builder.add({ op, root, inputs, name: 'n', step: 's' })
    const base = add(run())
    const git = add(GIT)
    const copy = add({ kind: 'workdir', path: '/', user: '' }, base, [git, base])
    const [baseName, gitName] = [digests.of(base), digests.of(git)]
    expect([baseName.inputs, gitName.inputs]).toEqual([[], []])
    expect(digests.of(copy).inputs).toEqual([baseName.digest, gitName.digest])
  })

  test.each<[string, (secret: string) => Op]>([
    ['the login of a repository', (secret) => ({ ...GIT, login: Login.of(`me:${secret}`) })],
    ['a variable with the name of a secret', (secret) => run({ env: [`NPM_TOKEN=${secret}`] })],
    ['the login of a URL in a command', (secret) => run({ args: ['curl', `https://me:${secret}@example.com/`] })],
    ['the login of a URL in a variable', (secret) => run({ env: [`URL=https://me:${secret}@example.com/`] })],
  ])('has no part in it that is a secret, which is told from another of the build: %s', (_what, op) => {
    const [one, other, again] = inParallel(op('guess'), op('other'), op('guess'))
    expect(one).not.toBe(other)
    expect(again).toBe(one)
    // Nobody finds out a secret by comparing digests.
    expect(inParallel(op('other'), op('guess'))).toEqual([one, other])
  })

  test('does not have the proxies in it, whose URLs may hold logins', () => {
    const [one, other] = inParallel(run({ proxyEnv: ['http_proxy=http://a:b@p'] }), run())
    expect(one).toBe(other)
  })
})
