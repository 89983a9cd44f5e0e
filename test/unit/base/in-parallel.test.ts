import { setTimeout as wait } from 'node:timers/promises'
import { expect, test } from '@jest/globals'
import { allInParallel, inParallel } from '../../../src/base/in-parallel.ts'

test('jobs begin in order, and one that takes long keeps only its own place', async () => {
  const begun: number[] = []
  let end = () => {}
  const slow = new Promise<void>((resolve) => {
    end = resolve
  })
  const jobs = Array.from({ length: 8 }, (_, index) => async () => {
    begun.push(index)
    if (index === 0) await slow
    return index
  })
  const results = inParallel(jobs, 2)
  await Promise.all(results.slice(1))
  expect(begun).toEqual([0, 1, 2, 3, 4, 5, 6, 7])
  end()
  expect(await Promise.all(results)).toEqual(begun)
})

test('after a failure those that had begun are waited for, and no other begins', async () => {
  const begun: number[] = []
  let ended = false
  const jobs = Array.from({ length: 8 }, (_, index) => async () => {
    begun.push(index)
    if (index === 1) throw new Error('broken')
    await wait(10)
    ended = true
  })
  const all = allInParallel(jobs, 2)
  await expect(all).rejects.toThrow('broken')
  expect(begun).toEqual([0, 1])
  expect(ended).toBe(true)
})
