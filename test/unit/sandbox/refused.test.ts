import { readdirSync, readFileSync } from 'node:fs'
import { constants } from 'node:os'
import { join } from 'node:path'
import { describe, expect, test } from '@jest/globals'
import { isMapFailure, namespaceError, parseFailure, setupHint } from '../../../src/sandbox/refused.ts'

const { EPERM, EINVAL, ENOENT, ENOSYS, EMFILE, ENOSPC, ENODEV, EIO } = constants.errno
const RUNNER = join(import.meta.dirname, '../../../runner')

/** The text of every fail("…") of the runner, with numbers and names in place of its conversions. */
function failures(): string[] {
  const texts: string[] = []
  for (const name of readdirSync(RUNNER).filter((file) => file.endsWith('.c'))) {
    for (const [, text = ''] of readFileSync(join(RUNNER, name), 'utf8').matchAll(/\bfail\("((?:[^"\\]|\\.)*)"/g)) {
      texts.push(text.replace(/%[jlz]*[udx]/g, '7').replace(/%(\.\d+)?s/g, '/name'))
    }
  }
  return texts
}

describe('what the runner could not do', () => {
  test('is read from one line of its report', () => {
    expect(parseFailure('error 1 mount proc on /proc: Operation not permitted\nexit 126 0 0\n')).toEqual({
      ...{ errno: 1, text: 'mount proc on /proc: Operation not permitted' },
    })
    expect(parseFailure('exit 0 0 0\n')).toBeUndefined()
  })

  test.each([
    [EPERM, 'make a mount namespace: Operation not permitted', /--privileged.*systempaths=unconfined/],
    [EPERM, 'mount proc on /proc: Operation not permitted', /systempaths=unconfined/],
    [EPERM, 'mount sysfs on /sys: Operation not permitted', /--privileged/],
    [EINVAL, 'mount the 2 layers of the root: Invalid argument', /--root/],
    [EINVAL, 'set gid 33: Invalid argument', /subuid/],
    [EPERM, 'set resource limit 7 to 1:2: Operation not permitted', /--ulimit/],
    [EPERM, 'enter the cgroup /sys/fs/cgroup/x: Operation not permitted', /--cgroup-parent/],
    [ENOENT, 'open /dev/full: No such file or directory', /\/dev of this machine/],
    [0, '/proc of the image must be an ordinary directory, it is a symlink', /base image/],
    [ENOENT, 'change to the working directory /x: Permission denied', /WORKDIR/],
    [EMFILE, 'pipes: Too many open files', /ulimit -a/],
    [ENOSYS, 'make a landlock domain: Function not implemented', /Linux 5\.12/],
  ])('errno %d, %j has its own next step', (errno, text, hint) => {
    expect(setupHint({ errno, text })).toMatch(hint)
  })

  test('every failure that stands in the runner has a next step for the errors that are likely', () => {
    const texts = failures()
    expect(texts.length).toBeGreaterThan(100)
    for (const text of texts) {
      for (const errno of [EPERM, ENOSYS, EINVAL, EMFILE, ENOENT, ENODEV, EIO])
        expect([text, setupHint({ errno, text })]).not.toEqual([text, expect.stringMatching(/^docs/)])
    }
  })
})

describe('what keeps a user namespace away', () => {
  test.each([
    [1, 'make a user namespace: Operation not permitted', /user namespaces/],
    [ENOSPC, 'make a user namespace: No space left on device', /max_user_namespaces/],
    [87, 'make a user namespace: Too many users', /max_user_namespaces/],
    [EINVAL, 'make a user namespace: Invalid argument', /without user namespaces/],
    [ENOENT, 'write /proc/7/uid_map: No such file or directory', /mount \/proc/],
  ])('errno %d, %j', (errno, text, hint) => {
    expect(namespaceError({ errno, text })).toMatchObject({ code: 'USER_NAMESPACE', exitCode: 1, hint: expect.stringMatching(hint) })
  })

  test('a map that was refused is tried again with fewer ids, a namespace is not', () => {
    for (const text of ['newuidmap failed (x)', 'newgidmap failed (x)', 'write /proc/7/uid_map: x', 'run newuidmap: x']) {
      expect(isMapFailure({ errno: EPERM, text })).toBe(true)
    }
    expect(isMapFailure({ errno: EPERM, text: 'make a user namespace: x' })).toBe(false)
  })
})
