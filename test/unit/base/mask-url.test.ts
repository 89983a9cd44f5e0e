// biome-ignore-all lint/suspicious/noTemplateCurlyInString: variables of Dockerfiles look like templates.
import { inspect } from 'node:util'
import { expect, test } from '@jest/globals'
import fc from 'fast-check'
import { TbuildError } from '../../../src/base/errors.ts'
import { Login, maskUrls, maskUrlsInPlace, splitLogin } from '../../../src/base/mask-url.ts'
import { parseGitReference } from '../../../src/values/git-reference.ts'

// BuildKit's util/urlutil: redact_test.go has these forms.
test.each([
  ['https://host.tld/path.git', 'https://host.tld/path.git'],
  ['https://user:password@host.tld/path.git', 'https://xxxxx:xxxxx@host.tld/path.git'],
  ['https://user@host.tld/path.git', 'https://xxxxx@host.tld/path.git'],
  ['https://user:@host.tld/path.git', 'https://xxxxx:xxxxx@host.tld/path.git'],
  ['https://:password@host.tld/path.git', 'https://:xxxxx@host.tld/path.git'],
  ['https://u:p@ss@host.tld/a@b', 'https://xxxxx:xxxxx@host.tld/a@b'],
  ["get 'http://u:p@h/x' and ftp://v@g:21", "get 'http://xxxxx:xxxxx@h/x' and ftp://xxxxx@g:21"],
  ['HTTPS://U@H/', 'HTTPS://xxxxx@H/'],
  ['socks5h://u:p@proxy:1080', 'socks5h://xxxxx:xxxxx@proxy:1080'],
  // The name of ssh is no secret, its password is.
  ['ssh://git@host/x', 'ssh://git@host/x'],
  ['ssh://git:pw@host/x', 'ssh://xxxxx:xxxxx@host/x'],
  ['git@host:x.git', 'git@host:x.git'],
  // Signed and token URLs.
  ['https://h/f?a=1&access_token=t&b=2#c', 'https://h/f?a=1&access_token=xxxxx&b=2#c'],
  ['https://h/f?X-Amz-Signature=s&X-Amz-Credential=c', 'https://h/f?X-Amz-Signature=xxxxx&X-Amz-Credential=xxxxx'],
  ['?token=t without a URL', '?token=t without a URL'],
  // What is not expanded shows names only.
  ['ADD https://$USER:${TOKEN}@h/x?token=$T /', 'ADD https://$USER:${TOKEN}@h/x?token=$T /'],
  ['ADD https://${TOKEN:-real}@h/x /', 'ADD https://xxxxx:xxxxx@h/x /'],
  // Behind an option, a fallback, a digit, and each of a list.
  ['curl -xhttp://u:p@proxy:1080 -x2http://u:p@h', 'curl -xhttp://xxxxx:xxxxx@proxy:1080 -x2http://xxxxx:xxxxx@h'],
  ['${URL:-https://u:p@h/x} ${URL:+https://u:p@h/x}', '${URL:-https://xxxxx:xxxxx@h/x} ${URL:+https://xxxxx:xxxxx@h/x}'],
  ['https://u:p@a,https://v@b|direct', 'https://xxxxx:xxxxx@a,https://xxxxx@b|direct'],
  ['https://mirror/https://u:p@h/x?to=http://v@g/y?key=k', 'https://mirror/https://xxxxx:xxxxx@h/x?to=http://xxxxx@g/y?key=xxxxx'],
  ['url.https://u:p@h/.insteadOf https://h/', 'url.https://xxxxx:xxxxx@h/.insteadOf https://h/'],
  ['mail me@host.tld', 'mail me@host.tld'],
  ['https://h/x and me@host', 'https://h/x and me@host'],
])('%s', (text, shown) => {
  expect(maskUrls(text)).toBe(shown)
})

test('in its place a mask is as long as what it hides', () => {
  expect(maskUrlsInPlace('ADD https://user:pw@h/x /')).toBe('ADD https://xxxx:xx@h/x /')
})

test('no login survives, wherever the URL stands', () => {
  const word = fc.stringMatching(/^[A-Za-z0-9._~%!$&'()*+,;=-]{0,12}$/).map((text) => `S${text}S`)
  const around = fc.stringMatching(/^[\w ,;:.@=-]{0,12}$/)
  fc.assert(
    fc.property(around, word, word, around, (before, user, password, after) => {
      const shown = maskUrls(`${before}https://${user}:${password}@host/path ${after}`)
      expect(shown).toBe(`${before}https://xxxxx:xxxxx@host/path ${after}`)
    }),
  )
})

test('a long word costs its length once', () => {
  const long = `${'a.-+'.repeat(250_000)} x://`
  const begun = performance.now()
  expect(maskUrls(long)).toBe(long)
  expect(performance.now() - begun).toBeLessThan(2000)
})

test('an error has no login in its message and hint', () => {
  const error = new TbuildError('X', 'cannot read https://u:tok@h/x', { hint: 'ask https://tok@h' })
  expect([error.message, error.hint, String(error.stack)].join(' ')).not.toContain('tok')
})

test('a login shows nothing of itself', () => {
  const { url, login } = splitLogin('https://user:t%40k@host/x')
  expect(url).toBe('https://host/x')
  expect(login?.basic()).toBe(`Basic ${Buffer.from('user:t@k').toString('base64')}`)
  expect([inspect(login, { showHidden: true, depth: 9 }), String(login), JSON.stringify({ login })].join(' ')).not.toMatch(/t%40k|t@k|user/)
  // Ops with it are compared by their JSON.
  expect(JSON.stringify(login)).toBe(JSON.stringify(Login.of('user:t%40k')))
  expect(JSON.stringify(login)).not.toBe(JSON.stringify(Login.of('other')))
})

test('a repository is known without its login; ssh takes no password', () => {
  expect(parseGitReference('https://user:tok@host/x.git#main')).toMatchObject({
    remote: 'https://host/x.git',
    ref: 'main',
    login: Login.of('user:tok'),
  })
  expect(parseGitReference('git@host:x.git')).toMatchObject({ remote: 'git@host:x.git' })
  expect(parseGitReference('ssh://git@host/x.git')).toMatchObject({ remote: 'ssh://git@host/x.git' })
  expect(() => parseGitReference('ssh://git:tok@host/x.git')).toThrow('an ssh URL takes no password: ssh://xxxxx:xxxxx@host/x.git')
})
