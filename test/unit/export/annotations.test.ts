import { expect, test } from '@jest/globals'
import { annotationsOf } from '../../../src/export/annotations.ts'
import { annotationsMember } from '../../../src/image/manifest.ts'

const arm = { os: 'linux', architecture: 'arm64' }

test('the annotations of a level: of all platforms first, those of the own platform win', () => {
  const given = [
    { level: 'manifest', platform: arm, key: 'a', value: 'arm' },
    { level: 'manifest', key: 'a', value: 'all' },
    { level: 'manifest', key: 'b', value: '1' },
    { level: 'manifest', key: 'b', value: '2' },
    { level: 'index', key: 'c', value: 'index' },
  ] as const
  expect(annotationsOf(given, 'manifest', arm)).toEqual({ a: 'arm', b: '2' })
  expect(annotationsOf(given, 'manifest', { os: 'linux', architecture: 'amd64' })).toEqual({ a: 'all', b: '2' })
  expect(annotationsOf(given, 'index')).toEqual({ c: 'index' })
  expect(annotationsOf(undefined, 'manifest')).toEqual({})
})

test('in a document they are sorted, and left out when there are none', () => {
  expect(JSON.stringify(annotationsMember({ b: '1', a: '2' }))).toBe('{"annotations":{"a":"2","b":"1"}}')
  expect(annotationsMember({})).toEqual({})
})
