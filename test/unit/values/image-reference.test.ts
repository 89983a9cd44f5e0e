import fc from 'fast-check'
import {
  familiarImageReference,
  familiarName,
  formatImageReference,
  parseImageReference,
  splitName,
} from '../../../src/values/image-reference.ts'

const DIGEST = `sha256:${'a'.repeat(64)}`
const SHA384 = `sha384:${'b'.repeat(96)}`
const SHA512 = `sha512:${'c'.repeat(128)}`

describe('parseImageReference', () => {
  test.each([
    ['debian', 'docker.io/library/debian:latest', 'debian:latest'],
    ['debian:bookworm', 'docker.io/library/debian:bookworm', 'debian:bookworm'],
    ['me/app', 'docker.io/me/app:latest', 'me/app:latest'],
    ['docker.io/debian', 'docker.io/library/debian:latest', 'debian:latest'],
    ['index.docker.io/library/debian', 'docker.io/library/debian:latest', 'debian:latest'],
    ['docker.io/library/a/b', 'docker.io/library/a/b:latest', 'library/a/b:latest'],
    ['localhost/app', 'localhost/app:latest', 'localhost/app:latest'],
    ['localhost:5000/app:V1', 'localhost:5000/app:V1', 'localhost:5000/app:V1'],
    ['127.0.0.1:5000/library/debian:bookworm', '127.0.0.1:5000/library/debian:bookworm', '127.0.0.1:5000/library/debian:bookworm'],
    ['[::1]:5000/app', '[::1]:5000/app:latest', '[::1]:5000/app:latest'],
    ['Registry/app', 'Registry/app:latest', 'Registry/app:latest'],
    ['a__b/c--d/e.f', 'docker.io/a__b/c--d/e.f:latest', 'a__b/c--d/e.f:latest'],
    [`debian@${DIGEST}`, `docker.io/library/debian@${DIGEST}`, `debian@${DIGEST}`],
    [`debian:12@${DIGEST}`, `docker.io/library/debian:12@${DIGEST}`, `debian:12@${DIGEST}`],
    [`debian@${SHA384}`, `docker.io/library/debian@${SHA384}`, `debian@${SHA384}`],
    [`h.io/a@${SHA512}`, `h.io/a@${SHA512}`, `h.io/a@${SHA512}`],
  ])('%s', (text, normalised, familiar) => {
    const reference = parseImageReference(text)
    expect(formatImageReference(reference)).toBe(normalised)
    expect(familiarImageReference(reference)).toBe(familiar)
  })

  test.each([
    ['', 'invalid reference format'],
    ['UPPER', 'repository name (library/UPPER) must be lowercase'],
    ['a/B', 'repository name (a/B) must be lowercase'],
    ['a..b', 'invalid reference format'],
    ['a/', 'invalid reference format'],
    ['/a', 'invalid reference format'],
    ['a//b', 'invalid reference format'],
    ['a:', 'invalid reference format'],
    ['a:-x', 'invalid reference format'],
    ['a:b:c', 'invalid reference format'],
    ['a b', 'invalid reference format'],
    ['a@', 'invalid reference format'],
    ['../../etc', 'invalid reference format'],
    ['-host.com/a', 'invalid reference format'],
    [`a@sha256:${'A'.repeat(64)}`, 'invalid checksum digest format'],
    [`a@sha256:${'a'.repeat(63)}`, 'invalid checksum digest length'],
    [`a@sha512:${'a'.repeat(127)}`, 'invalid checksum digest length'],
    [`a@md5:${'a'.repeat(32)}`, 'unsupported digest algorithm'],
    [`a:b@MD5:${'a'.repeat(32)}`, 'invalid checksum digest format'],
    [`a@SHA256:${'a'.repeat(64)}`, 'repository name (library/a@SHA256) must be lowercase'],
    [`a@sha256:${'a'.repeat(31)}`, 'invalid reference format'],
    [`a:${'x'.repeat(129)}`, 'invalid reference format'],
    [`h.io/${'x'.repeat(256)}`, 'must not be more than 255 characters'],
    ['a'.repeat(64), 'cannot specify 64-byte hexadecimal strings'],
  ])('refuses %j', (text, message) => {
    expect(() => parseImageReference(text)).toThrow(expect.objectContaining({ code: 'IMAGE_REFERENCE_INVALID' }))
    expect(() => parseImageReference(text)).toThrow(message)
  })

  test('normalising twice changes nothing, and only IMAGE_REFERENCE_INVALID is thrown', () => {
    const piece = fc.constantFrom(
      'a',
      'b9',
      'A',
      '.',
      ':',
      '/',
      '@',
      '-',
      '_',
      '__',
      'localhost',
      '5000',
      'docker.io',
      'library',
      DIGEST,
      '\0',
    )
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 9 }), (pieces) => {
        try {
          const normalised = formatImageReference(parseImageReference(pieces.join('')))
          expect(formatImageReference(parseImageReference(normalised))).toBe(normalised)
        } catch (error) {
          expect((error as { code?: string }).code).toBe('IMAGE_REFERENCE_INVALID')
        }
      }),
    )
  })
})

describe('names as they are shown', () => {
  test.each([
    ['busybox', 'busybox:latest', 'busybox', 'latest'],
    ['docker.io/library/app:1', 'app:1', 'app', '1'],
    ['docker.io/me/app:1', 'me/app:1', 'me/app', '1'],
    ['docker.io/library/a/b:1', 'library/a/b:1', 'library/a/b', '1'],
    ['localhost:5000/x', 'localhost:5000/x:latest', 'localhost:5000/x', 'latest'],
    [`h.io/x@${DIGEST}`, `h.io/x@${DIGEST}`, 'h.io/x', undefined],
    [`h.io/x:2@${DIGEST}`, `h.io/x:2@${DIGEST}`, 'h.io/x', '2'],
    ['No Name', 'No Name', 'No Name', undefined],
  ])('%s', (name, familiar, repository, tag) => {
    expect(familiarName(name)).toBe(familiar)
    expect(splitName(name)).toEqual({ repository, tag })
  })
})
