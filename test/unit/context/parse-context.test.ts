import { describe, expect, test } from '@jest/globals'
import fc from 'fast-check'
import { parseContextName, parseNamedContext } from '../../../src/context/parse-context.ts'
import { parseGitReference } from '../../../src/values/git-reference.ts'

const URL = 'https://example.com/a/b.git'
const COMMIT = '0123456789abcdef0123456789abcdef01234567'

describe('F33 git references', () => {
  test.each([
    [URL, { remote: URL }],
    [`${URL}#v1`, { remote: URL, ref: 'v1' }],
    [`${URL}#v1:sub/dir/`, { remote: URL, ref: 'v1', subdir: 'sub/dir' }],
    [`${URL}#:sub`, { remote: URL, subdir: 'sub' }],
    [`${URL}#a%2Fb`, { remote: URL, ref: 'a/b' }],
    [`${URL}#main:../../x`, { remote: URL, ref: 'main', subdir: 'x' }],
    [`${URL}#main:../..`, { remote: URL, ref: 'main' }],
    [`${URL}?tag=v1`, { remote: URL, ref: 'refs/tags/v1' }],
    [`${URL}?branch=main&subdir=x`, { remote: URL, ref: 'refs/heads/main', subdir: 'x' }],
    [`${URL}?checksum=ABC1`, { remote: URL, checksum: 'abc1' }],
    [`${URL}?commit=${COMMIT}`, { remote: URL, ref: COMMIT, checksum: COMMIT }],
    [`${URL}?commit=abc1&ref=main`, { remote: URL, ref: 'main', checksum: 'abc1' }],
    [`${URL}?keep-git-dir&submodules=false`, { remote: URL, keepGitDir: true, submodules: false }],
    [`${URL}?mtime=commit`, { remote: URL, mtime: 'commit' }],
    ['git://example.com/x', { remote: 'git://example.com/x' }],
    ['ssh://git@example.com/x#r', { remote: 'ssh://git@example.com/x', ref: 'r' }],
    ['git@example.com:x/y#r:s', { remote: 'git@example.com:x/y', ref: 'r', subdir: 's' }],
  ])('%s', (text, expected) => {
    expect(parseGitReference(text)).toEqual({ shortForm: false, ...expected })
  })

  test.each([
    './git@x:y',
    '../a.git',
    'https://example.com/a.tar',
    'https://example.com/a.git/info',
    'file:///a.git',
    'ext::sh -c x',
    'dir',
    '',
  ])('is no repository: %s', (text) => expect(parseGitReference(text)).toBeUndefined())

  test.each([
    ['?foo=1', 'unexpected query "foo"'],
    ['?ref=', 'query "ref" has no value'],
    ['?ref=a&ref=b', 'query "ref" has multiple values'],
    ['?ref=a#b', 'ref conflicts: "b" vs "a"'],
    ['?tag=a&branch=b', 'branch conflicts with tag'],
    ['?submodules=no', 'invalid submodules value: "no"'],
    ['?checksum=zz', 'invalid checksum zz for Git URL, expected hex commit hash'],
    ['?fetch-by-commit', 'fetch-by-commit needs the full commit'],
    ['#-x', 'invalid git ref "-x"'],
    ['#--upload-pack=sh', 'invalid git ref "--upload-pack=sh"'],
    ['#a..b', 'invalid git ref "a..b"'],
  ])('refuses %s', (suffix, message) => {
    expect(() => parseGitReference(URL + suffix)).toThrow(expect.objectContaining({ code: 'GIT_REFERENCE', message }))
  })

  test('hosts that ssh would take for options are no repositories', () => {
    expect(parseGitReference('git@-oProxyCommand=x:y')).toBeUndefined()
    expect(parseGitReference('ssh://-oProxyCommand=x/y')).toBeUndefined()
  })

  test('whatever the text, a ref never looks like an option and a subdirectory never leaves the repository', () => {
    fc.assert(
      fc.property(fc.string(), (suffix) => {
        try {
          const git = parseGitReference(URL + suffix)
          expect(git?.ref?.startsWith('-') ?? false).toBe(false)
          expect(git?.subdir?.split('/').includes('..') ?? false).toBe(false)
        } catch (error) {
          expect((error as { code?: string }).code).toBe('GIT_REFERENCE')
        }
      }),
    )
  })
})

describe('contexts by their text', () => {
  test.each([
    ['-', 'stdin'],
    ['.', 'directory'],
    ['https://example.com/ctx.tar.gz', 'http'],
    [URL, 'git'],
    ['github.com/a/b', 'git'],
  ])('%s is %s', (text, kind) => {
    expect(parseContextName(text).kind).toBe(kind)
  })

  test.each([
    ['docker-image://busybox', { kind: 'image', reference: 'busybox' }],
    ['oci-layout://dir:tag', { kind: 'image', reference: 'oci-layout://dir:tag' }],
    ['github.com/a/b', { kind: 'directory', path: 'github.com/a/b' }],
    ['-', { kind: 'directory', path: '-' }],
  ])('G13 --build-context %s', (text, expected) => {
    expect(parseNamedContext(text)).toEqual(expected)
  })
})
