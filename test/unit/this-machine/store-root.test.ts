import { expect, test } from '@jest/globals'
import { storeRoot } from '../../../src/this-machine/store-root.ts'
import { ThisMachine } from '../../../src/this-machine/this-machine.ts'

test.each([
  [{ TBUILD_ROOT: '/x' }, 0, '/x'],
  [{ XDG_DATA_HOME: '/d' }, 0, '/var/lib/tbuild'],
  [{ XDG_DATA_HOME: '/d', HOME: '/h' }, 1000, '/d/tbuild'],
  [{ XDG_DATA_HOME: 'relative', HOME: '/h' }, 1000, '/h/.local/share/tbuild'],
  [{ TBUILD_ROOT: 'here' }, 0, '/callers/here'],
  [{ TBUILD_ROOT: '', HOME: '/h' }, 1000, '/h/.local/share/tbuild'],
])('the default root for %j and uid %i is %s', (env, uid, root) => {
  expect(storeRoot(undefined, new ThisMachine({ environment: env, workingDirectory: '/callers' }), uid)).toBe(root)
})
