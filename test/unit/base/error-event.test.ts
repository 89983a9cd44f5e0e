import { describe, expect, test } from '@jest/globals'
import { endingWithError } from '../../../src/base/error-event.ts'
import { TbuildError } from '../../../src/base/errors.ts'
import type { BuildEvent } from '../../../src/base/events.ts'

const error = new TbuildError('RUN_FAILED', 'no', { hint: 'mend it' })
const fails = () => Promise.reject(error)

describe('a failure as the last event', () => {
  test('is reported, and rejects as it is; what succeeds has none', async () => {
    const events: BuildEvent[] = []
    const onEvent = (event: BuildEvent) => events.push(event)
    expect(await endingWithError(onEvent, async () => 1)).toBe(1)
    await expect(endingWithError(onEvent, fails)).rejects.toBe(error)
    await expect(endingWithError(onEvent, () => Promise.reject(new TypeError('a bug')))).rejects.toBeInstanceOf(TypeError)
    expect(events).toEqual([
      { type: 'error', code: 'RUN_FAILED', message: 'no', hint: 'mend it' },
      { type: 'error', code: 'BUG', message: 'a bug' },
    ])
  })

  test('a listener that throws does not take its place', async () => {
    const onEvent = () => {
      throw new Error('a listener')
    }
    await expect(endingWithError(onEvent, fails)).rejects.toBe(error)
  })
})
