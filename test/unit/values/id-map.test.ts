import { describe, expect, test } from '@jest/globals'
import { parseIdMap } from '../../../src/values/id-map.ts'

describe('the ids of a user namespace', () => {
  test('of the machine itself all; a kernel without user namespaces has no such file', () => {
    for (const text of ['         0          0 4294967295\n', '']) {
      expect(parseIdMap(text, text)).toMatchObject({ whole: true, single: false, text: '' })
      expect(parseIdMap(text, text).onDisk({ uid: 70000, gid: 4294967294 })).toEqual({ uid: 70000, gid: 4294967294 })
    }
  })

  test('one id: everything else is the user on disk', () => {
    const ids = parseIdMap('0 1000 1\n', '0 1001 1\n')
    expect(ids).toMatchObject({ whole: false, single: true, text: '0:1000:1;0:1001:1' })
    expect([ids.hasUid(0), ids.hasUid(1), ids.hasGid(42)]).toEqual([true, false, false])
    expect(ids.onDisk({ uid: 0, gid: 42 })).toEqual({ uid: 0, gid: 0 })
  })

  test('ranges, with a hole and an end', () => {
    const ids = parseIdMap('0 1000 1\n1 100000 65536\n70000 900000 1\n', '0 1000 1\n1 100000 65536\n')
    expect([65536, 65537, 70000].map(ids.hasUid)).toEqual([true, false, true])
    expect(ids.hasGid(70000)).toBe(false)
    expect(ids).toMatchObject({ whole: false, single: false, text: '0:1000:1,1:100000:65536,70000:900000:1;0:1000:1,1:100000:65536' })
  })

  test('a map of all ids to others is not whole', () => {
    expect(parseIdMap('0 100000 65536\n', '0 100000 65536\n')).toMatchObject({ whole: false, single: false })
  })
})
