import { describe, expect, test } from '@jest/globals'
import { hasOnlyStubResolver, resolvConf } from '../../../src/sandbox/resolv.ts'
import { parseHardLimits } from '../../../src/sandbox/rlimits.ts'
import {
  type Identity,
  parseSubids,
  planUserNamespace,
  rootlessNotice,
  userNamespaceArguments,
  withoutRanges,
} from '../../../src/sandbox/rootless.ts'

const ALL_IDS = '         0          0 4294967295\n'
const bob: Identity = {
  ...{ uid: 1000, gid: 1001, name: 'bob', subuid: 'bob:100000:65536\n', subgid: '1000:200000:65536\n', helpers: true },
  ...{ mayMount: false, uidMap: ALL_IDS, gidMap: ALL_IDS },
}
const root: Identity = { ...bob, uid: 0, gid: 0, name: 'root' }

describe('user namespaces', () => {
  test('root that may mount needs none', () => {
    expect(planUserNamespace({ ...root, mayMount: true })).toEqual({ kind: 'none' })
  })

  test('root of a container, without CAP_SYS_ADMIN, takes all ids that it has along', () => {
    const plan = planUserNamespace({ ...root, uidMap: '0 1000 1\n1 100000 65536\n', gidMap: ALL_IDS })
    expect(userNamespaceArguments(plan as never)).toEqual(['userns', '0 0 1\n1 1 65536', '0 0 4294967295', 'root'])
    expect(rootlessNotice(plan)).toBeUndefined()
  })

  test.each([
    ['newuidmap fails', bob, ['0 1000 1', '0 1001 1', 'owner']],
    ['root may map only itself', root, ['0 0 1', '0 0 1', 'owner']],
  ])('%s: a single id, for the reason that is said', (cause, identity, words) => {
    const plan = withoutRanges(planUserNamespace(identity), cause)
    expect(userNamespaceArguments(plan as never)).toEqual(['userns', ...words])
    expect(rootlessNotice(plan as never)).toMatch(cause)
    expect(withoutRanges(plan as never, cause)).toBeUndefined()
  })

  test('ranges follow the own id', () => {
    const plan = planUserNamespace(bob)
    expect(plan).toMatchObject({ kind: 'ranges' })
    expect(userNamespaceArguments(plan as never)).toEqual(['userns', '0 1000 1,1 100000 65536', '0 1001 1,1 200000 65536', 'helpers'])
    expect(rootlessNotice(plan)).toBeUndefined()
  })

  test.each([
    ['no ranges', { subuid: '', subgid: '' }, /no range for bob/],
    ['only one file', { subgid: '' }, /no range/],
    ['no helpers', { helpers: false }, /newuidmap/],
  ])('a single id and a notice that says why: %s', (_name, more, reason) => {
    const plan = planUserNamespace({ ...bob, ...more })
    expect(userNamespaceArguments(plan as never)).toEqual(['userns', '0 1000 1', '0 1001 1', 'owner'])
    expect(rootlessNotice(plan)).toMatch(reason)
  })

  test('subuid lines: by name or uid, several, malformed ones skipped', () => {
    const text = 'alice:1:1\nbob:100:10\n1000:300:5\nbob:x:1\nbob:1\nbob:99999999999:1\n\n'
    expect(parseSubids(text, 'bob', 1000)).toEqual([
      { first: 100, count: 10 },
      { first: 300, count: 5 },
    ])
  })
})

describe('R3 resolv.conf', () => {
  const text = 'search a.example\nnameserver 127.0.0.53\nnameserver ::1\nnameserver 1.1.1.1\noptions edns0\n'
  test('an own network drops loopback servers, the host’s keeps them', () => {
    expect(resolvConf(text, 'own')).toBe('search a.example\nnameserver 1.1.1.1\noptions edns0\n')
    expect(resolvConf(text, 'host')).toBe(text)
  })
  test('the stub alone means systemd-resolved', () => {
    expect(hasOnlyStubResolver('nameserver 127.0.0.53\n')).toBe(true)
    expect(hasOnlyStubResolver(text)).toBe(false)
    expect(hasOnlyStubResolver('')).toBe(false)
  })
})

test('hard limits are read from /proc/self/limits', () => {
  const limits =
    'Limit  Soft Limit  Hard Limit  Units\nMax core file size        0                    unlimited            bytes\nMax open files            1024                 20000                files\n'
  expect(parseHardLimits(limits)).toEqual({ nofile: 20000n, core: (1n << 64n) - 1n })
})
