import { describe, expect, test } from '@jest/globals'
import { TbuildError } from '../../../src/base/errors.ts'
import { Lifetime } from '../../../src/engine/lifetime.ts'

const never = () => new AbortController().signal
const open = (signal = never()) => new Lifetime({ onEvent: () => {}, signal })

describe('the lifetime of a build', () => {
  test('hands on what its work gives, and errors that a user can cause', async () => {
    const lifetime = open()
    expect(await lifetime.run(async () => 1)).toBe(1)
    const error = new TbuildError('X', 'x')
    await expect(lifetime.run(() => Promise.reject(error))).rejects.toBe(error)
    const bug = new TypeError('a bug')
    await expect(lifetime.run(() => Promise.reject(bug))).rejects.toBe(bug)
    const refused = Object.assign(new Error('EMFILE'), { errno: -24, syscall: 'open' })
    await expect(lifetime.run(() => Promise.reject(refused))).rejects.toMatchObject({ code: 'SYSTEM' })
  })

  test('what the caller ends is canceled', async () => {
    const caller = new AbortController()
    const lifetime = open(caller.signal)
    const work = lifetime.run(() => new Promise((_resolve, reject) => lifetime.progress.signal.addEventListener('abort', reject)))
    caller.abort()
    await expect(work).rejects.toMatchObject({ code: 'CANCELED', exitCode: 130 })
    expect(lifetime.isOver).toBe(false)
  })

  test('what waits for others and is ended by the end of the build is closed, not canceled', async () => {
    const lifetime = open()
    const waiting = lifetime.run(
      () =>
        new Promise((_resolve, reject) => {
          lifetime.progress.signal.addEventListener('abort', () => reject(new TbuildError('CANCELED', 'canceled while waiting')))
        }),
    )
    const watched = expect(waiting).rejects.toMatchObject({ code: 'BUILD_CLOSED' })
    await lifetime.end()
    await watched
  })

  test('its end ends its work, is not over before that, and takes no more; the signal of the caller stays as it is', async () => {
    const caller = new AbortController()
    const lifetime = open(caller.signal)
    let settled = 0
    const work = lifetime.run(
      () =>
        new Promise((_resolve, reject) => {
          lifetime.progress.signal.addEventListener('abort', () => setTimeout(() => reject(new Error('stopped')), 20))
        }),
    )
    const watched = expect(work.finally(() => settled++)).rejects.toMatchObject({ code: 'BUILD_CLOSED' })
    await lifetime.end()
    await watched
    expect([settled, caller.signal.aborted]).toEqual([1, false])
    let begun = 0
    await expect(lifetime.run(async () => begun++)).rejects.toMatchObject({ code: 'BUILD_CLOSED' })
    expect(begun).toBe(0)
    await lifetime.end()
  })
})
