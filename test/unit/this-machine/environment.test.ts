import { homedir } from 'node:os'
import { expect, test } from '@jest/globals'
import { configFolder, homeFolder } from '../../../src/base/environment.ts'
import { withHome } from '../../../src/this-machine/environment.ts'

test('the configuration is where XDG_CONFIG_HOME says, else below HOME; empty is not set', () => {
  expect(configFolder({ HOME: '/h', XDG_CONFIG_HOME: '/c' })).toBe('/c')
  expect(configFolder({ HOME: '/h', XDG_CONFIG_HOME: '' })).toBe('/h/.config')
  expect(homeFolder(withHome({ HOME: '' }))).toBe(homedir())
  expect(withHome({ HOME: '/h', A: '1' })).toEqual({ HOME: '/h', A: '1' })
})
