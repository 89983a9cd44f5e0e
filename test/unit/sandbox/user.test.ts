import { describe, expect, test } from '@jest/globals'
import fc from 'fast-check'
import { TbuildError } from '../../../src/base/errors.ts'
import { resolveUser } from '../../../src/sandbox/user.ts'

const PASSWD =
  'root:x:0:0:root:/root:/bin/sh\n# comment\nbroken\nbob:x:1000:1001::/home/bob:/bin/sh\n1234:x:7:7::/odd:\nneg:x:-1:0::/:\nhuge:x:4294967296:0::/:\n'
const GROUP = 'root:x:0:\nwheel:x:10:root,bob\nstaff:x:50:bob\nbob:x:1001:\n'
const files: Record<string, string> = { '/etc/passwd': PASSWD, '/etc/group': GROUP }
const read = (path: string) => (files[path] === undefined ? undefined : Buffer.from(files[path]))
const nothing = () => undefined

describe('USER', () => {
  test.each([
    ['', { uid: 0, gid: 0, groups: [0, 10], home: '/root' }],
    ['root', { uid: 0, gid: 0, groups: [0, 10], home: '/root' }],
    ['bob', { uid: 1000, gid: 1001, groups: [1001, 10, 50], home: '/home/bob' }],
    ['1000', { uid: 1000, gid: 1001, groups: [1001, 10, 50], home: '/home/bob' }],
    ['bob:staff', { uid: 1000, gid: 50, groups: [50], home: '/home/bob' }],
    ['bob:77', { uid: 1000, gid: 77, groups: [77], home: '/home/bob' }],
    ['1000:1000', { uid: 1000, gid: 1000, groups: [1000], home: '/home/bob' }],
    ['5000', { uid: 5000, gid: 0, groups: [0], home: '/' }],
    ['bob:staff:more', { uid: 1000, gid: 50, groups: [50], home: '/home/bob' }],
    ['+1000', { uid: 1000, gid: 1001, groups: [1001, 10, 50], home: '/home/bob' }],
    ['4000000000:4000000001', { uid: 4_000_000_000, gid: 4_000_000_001, groups: [4_000_000_001], home: '/' }],
    ['broken', { uid: 0, gid: 0, groups: [0], home: '/root' }],
    ['5000:staff', { uid: 5000, gid: 50, groups: [50], home: '/' }],
  ])('W15 W16 W17 %j', (user, expected) => {
    expect(resolveUser(user, read)).toEqual(expected)
  })

  test('W17 without passwd only the default user and uid:gid work', () => {
    expect(resolveUser('', nothing)).toEqual({ uid: 0, gid: 0, groups: [0], home: '/' })
    expect(resolveUser('5:6', nothing)).toEqual({ uid: 5, gid: 6, groups: [6], home: '/' })
    expect(resolveUser('root:root', nothing)).toEqual({ uid: 0, gid: 0, groups: [0], home: '/' })
    for (const user of ['1000', 'root', 'bob:staff'])
      expect(() => resolveUser(user, nothing)).toThrow(expect.objectContaining({ code: 'USER_UNKNOWN' }))
  })

  test('CVE-2016-3697 digits are a number even when a user has that name', () => {
    expect(resolveUser('1234', read)).toMatchObject({ uid: 1234, gid: 0 })
  })

  test.each(['nobody-here', 'bob:nogroup', ' bob', 'a:b:c'])('an unknown name is an error: %j', (user) => {
    expect(() => resolveUser(user, read)).toThrow(expect.objectContaining({ code: 'USER_UNKNOWN' }))
  })

  test.each(['2147483648', '4294967296', '99999999999999999999', 'bob:4294967295', '-1', 'bob:-1', 'neg', 'huge'])(
    'CVE-2024-40635 %j is invalid',
    (user) => {
      expect(() => resolveUser(user, read)).toThrow(expect.objectContaining({ code: 'USER_INVALID' }))
    },
  )

  test('the reader is asked for 10 MiB at most, and its refusal is the answer', () => {
    const limits: number[] = []
    resolveUser('bob', (path, limit) => {
      limits.push(limit)
      return read(path)
    })
    expect(new Set(limits)).toEqual(new Set([10 * 1024 * 1024]))
  })

  test('W18 a passwd that is a link in a circle is none, as for BuildKit', () => {
    const loop = (): never => {
      throw new TbuildError('ELOOP', 'too many levels of symbolic links')
    }
    expect(resolveUser('', loop)).toMatchObject({ uid: 0, gid: 0 })
    expect(resolveUser('5:6', loop)).toMatchObject({ uid: 5, gid: 6 })
    for (const user of ['bob', '5']) expect(() => resolveUser(user, loop)).toThrow(expect.objectContaining({ code: 'USER_UNKNOWN' }))
  })

  test('any bytes in passwd and group give ids in range or an error with a code', () => {
    fc.assert(
      fc.property(fc.string(), fc.uint8Array({ maxLength: 200 }), fc.uint8Array({ maxLength: 200 }), (user, passwd, group) => {
        try {
          const found = resolveUser(user, (path) => Buffer.from(path === '/etc/passwd' ? passwd : group))
          for (const id of [found.uid, found.gid, ...found.groups]) expect(Number.isInteger(id) && id >= 0 && id <= 0xfffffffe).toBe(true)
          expect(found.groups).toContain(found.gid)
        } catch (error) {
          expect((error as { code?: string }).code).toMatch(/^USER_/)
        }
      }),
    )
  })
})
