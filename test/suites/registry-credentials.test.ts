import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals'
import { loginFor } from '../../src/caller/credentials.ts'
import { findLogins } from '../../src/this-machine/docker-config.ts'

/** Where logins come from, and what is said of those that do not. */
let home: string
beforeEach(() => {
  home = mkdtempSync(join(tmpdir(), 'tbuild-credentials-'))
  mkdirSync(join(home, '.docker'))
})
afterEach(() => rmSync(home, { recursive: true }))

const HOST = 'registry.example:5000'
const auth = (text: string) => ({ auth: Buffer.from(text).toString('base64') })
const config = (value: object) => writeFileSync(join(home, '.docker/config.json'), JSON.stringify(value))
const helper = (script: string) => writeFileSync(join(home, 'docker-credential-ci'), `#!/bin/sh\n${script}\n`, { mode: 0o755 })
const find = async (environment: Readonly<Record<string, string>> = {}, signal?: AbortSignal) => {
  const found = await findLogins(HOST, { HOME: home, PATH: `${home}:/usr/bin:/bin`, ...environment }, signal)
  return { login: loginFor(found, 'team/app'), notes: found.notes }
}

describe('DOCKER_AUTH_CONFIG', () => {
  const variable = (value: unknown) => find({ DOCKER_AUTH_CONFIG: typeof value === 'string' ? value : JSON.stringify(value) })

  test('comes before all files and helpers', async () => {
    config({ auths: { [HOST]: auth('file:x') }, credsStore: 'ci' })
    helper('echo \'{"Username":"helper","Secret":"x"}\'')
    const other = join(home, 'other.json')
    writeFileSync(other, JSON.stringify({ auths: { [HOST]: auth('other:x') } }))
    const value = JSON.stringify({ auths: { [HOST]: auth('ci:s3:cret') } })
    for (const more of [{}, { REGISTRY_AUTH_FILE: other }]) {
      const { login, notes } = await find({ DOCKER_AUTH_CONFIG: value, ...more })
      expect(login).toEqual({ username: 'ci', password: 's3:cret', source: `DOCKER_AUTH_CONFIG (${HOST})` })
      expect(notes).toEqual([])
    }
  })

  test.each([
    ['nothing of the registry', { auths: { 'other.example': auth('a:b') } }],
    ['nothing', {}],
    ['no auths', { auths: null }],
    ['null', null],
    ['blanks', ' \n'],
  ])('%s in it leaves the files', async (_what, value) => {
    config({ auths: { [HOST]: auth('file:x') } })
    expect(await variable(value)).toMatchObject({ login: { username: 'file' }, notes: [] })
  })

  // As docker 28.5 does, which says "Failed to create credential store from DOCKER_AUTH_CONFIG" and goes on with the files.
  test.each([
    ['{broken s3cret', /it is not valid JSON/],
    ['{"auths":{}} {}', /it is not valid JSON/],
    [[], /it is not an object/],
    ['"s3cret"', /it is not an object/],
    [{ auths: [] }, /"auths" is not an object/],
    [{ auths: { [HOST]: auth('ci:s3cret') }, credHelpers: {} }, /it has "credHelpers", and docker takes "auths" only/],
    [{ auths: { [HOST]: { ...auth('ci:s3cret'), email: 's3cret' } } }, /its entry of "registry.example:5000" has "email"/],
    [{ auths: { [HOST]: { username: 'ci', password: 's3cret' } } }, /its entry of "registry.example:5000" has "username"/],
    [{ auths: { [HOST]: auth('s3cret') } }, /the "auth" of "registry.example:5000" is not user:password/],
    [{ auths: { [HOST]: auth(':s3cret') } }, /is not user:password/],
    [{ auths: { [HOST]: null } }, /is not an object/],
  ])('%j is not used at all, and said without its value', async (value, reason) => {
    config({ auths: { [HOST]: auth('file:x') } })
    const { login, notes } = await variable(value)
    expect(login).toMatchObject({ username: 'file' })
    expect(notes).toEqual([expect.stringMatching(reason)])
    expect(notes[0]).toMatch(/^DOCKER_AUTH_CONFIG is not used: /)
    expect(notes[0]).not.toMatch(/s3cret|czNjcmV0/)
  })
})

describe('a credential helper', () => {
  beforeEach(() => config({ credHelpers: { [HOST]: 'ci' } }))

  test("has the caller's environment, whatever its names", async () => {
    helper('read s; printf \'{"ServerURL":"%s","Username":"%s","Secret":"%s"}\' "$s" "$CI_USER" "$MY_TOKEN"')
    const { login } = await find({ CI_USER: 'ci', MY_TOKEN: 'from-the-caller' })
    expect(login).toEqual({ username: 'ci', password: 'from-the-caller', source: 'docker-credential-ci' })
  })

  test('that knows nothing is named', async () => {
    helper('echo "credentials not found in native keychain"; exit 1')
    expect(await find()).toEqual({ notes: [`docker-credential-ci has none for ${HOST}`] })
  })

  test('that knows nothing or fails leaves the auths of its file', async () => {
    config({ credHelpers: { [HOST]: 'ci' }, auths: { [HOST]: auth('file:x') } })
    for (const script of ['echo "credentials not found in native keychain"; exit 1', 'exit 3']) {
      helper(script)
      expect(await find()).toMatchObject({ login: { username: 'file' }, notes: [expect.stringContaining('docker-credential-ci')] })
    }
  })

  test.each([
    ['fails, with what it printed', 'echo "VAULT_ADDR is not set"; echo noise >&2; exit 4', 'exit status 4: VAULT_ADDR is not set'],
    ['fails, with what it complained of', 'echo "no such vault" >&2; exit 4', 'exit status 4: no such vault'],
    ['fails in silence', 'exit 4', 'exit status 4'],
    ['is killed', 'kill -9 $$', 'ended by SIGKILL'],
    ['says too much', 'yes | head -c 100000000', 'its answer is too long'],
    ['complains for long, and fails', 'yes complaint | head -c 1000000 >&2; exit 1', /^exit status 1: complaint complaint .{0,300}…$/],
    ['answers nonsense', 'echo nonsense', 'its answer is not JSON'],
    ['has no secret in its answer', 'echo "{}"', 'its answer lacks Username or Secret'],
    ['writes to the terminal', 'printf "\\033[2Jx"; exit 1', 'exit status 1: [2Jx'],
  ])('that %s', async (_what, script, reason) => {
    helper(script)
    const { login, notes } = await find()
    expect([login, notes.length]).toEqual([undefined, 1])
    expect(notes[0]?.slice(0, 22)).toBe('docker-credential-ci: ')
    expect(notes[0]?.slice(22)).toEqual(typeof reason === 'string' ? reason : expect.stringMatching(reason))
  })

  test('that is missing, or only in a relative entry of PATH, is not run', async () => {
    helper('echo \'{"Username":"a","Secret":"b"}\'')
    const missing = ['docker-credential-ci: not found in PATH']
    expect(await find({ PATH: '/usr/bin' })).toEqual({ notes: missing })
    expect(await find({ PATH: `.:${join('..', home)}:` })).toEqual({ notes: missing })
    expect(await find({ PATH: '' })).toEqual({ notes: missing })
  })

  test('that leaves a daemon behind, which holds its output open, is not waited for', async () => {
    helper('sleep 25 & echo \'{"Username":"a","Secret":"b"}\'')
    const begun = Date.now()
    expect(await find()).toMatchObject({ login: { username: 'a' } })
    expect(Date.now() - begun).toBeLessThan(20_000)
  })

  test('whose environment is too long for the system is named', async () => {
    helper('echo \'{"Username":"a","Secret":"b"}\'')
    expect(await find({ LONG: 'x'.repeat(200_000) })).toEqual({ notes: [expect.stringMatching(/^docker-credential-ci: spawn .*E2BIG$/)] })
  })

  test('that is asked when the build has ended already is not waited for', async () => {
    helper('sleep 25')
    const begun = Date.now()
    expect(await find({}, AbortSignal.abort())).toEqual({ notes: ['docker-credential-ci: the build was canceled'] })
    expect(Date.now() - begun).toBeLessThan(20_000)
  })

  test('that hangs, with a child of its own, ends with the build', async () => {
    helper('sleep 25')
    const begun = Date.now()
    const { notes } = await find({}, AbortSignal.timeout(300))
    expect(notes).toEqual(['docker-credential-ci: the build was canceled'])
    expect(Date.now() - begun).toBeLessThan(20_000)
  })
})
