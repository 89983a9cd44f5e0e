import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { homedir, tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from '@jest/globals'
import { configFolder, homeFolder } from '../../../src/base/environment.ts'
import { withHome } from '../../../src/this-machine/environment.ts'
import { ThisMachine } from '../../../src/this-machine/this-machine.ts'

test('the configuration is where XDG_CONFIG_HOME says, else below HOME; empty is not set', () => {
  expect(configFolder({ HOME: '/h', XDG_CONFIG_HOME: '/c' })).toBe('/c')
  expect(configFolder({ HOME: '/h', XDG_CONFIG_HOME: '' })).toBe('/h/.config')
  expect(homeFolder(withHome({ HOME: '' }))).toBe(homedir())
  expect(withHome({ HOME: '/h', A: '1' })).toEqual({ HOME: '/h', A: '1' })
})

test("paths in the environment are the caller's, whose working directory need not be the process's", async () => {
  const workingDirectory = mkdtempSync(join(tmpdir(), 'caller-'))
  mkdirSync(join(workingDirectory, 'config'))
  const auths = { 'registry.example': { auth: Buffer.from('me:word').toString('base64') } }
  writeFileSync(join(workingDirectory, 'config/config.json'), JSON.stringify({ auths }))
  const variables = { HOME: 'home', DOCKER_CONFIG: 'config', SSL_CERT_DIR: 'a:/b:', PATH: 'bin', XDG_CONFIG_HOME: undefined }
  const caller = new ThisMachine({ environment: variables, workingDirectory })
  expect(caller.environment).toEqual({
    HOME: join(workingDirectory, 'home'),
    DOCKER_CONFIG: join(workingDirectory, 'config'),
    SSL_CERT_DIR: `${join(workingDirectory, 'a')}:/b:`,
    PATH: 'bin',
  })
  expect((await caller.credentials('registry.example')).logins).toMatchObject([{ login: { username: 'me' } }])
  expect(new ThisMachine({ environment: variables }).environment).toEqual(variables)
  rmSync(workingDirectory, { recursive: true })
})
