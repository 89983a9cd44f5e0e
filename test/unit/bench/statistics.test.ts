import { describe, expect, test } from '@jest/globals'
import type { Case, Outcome } from '../../../bench/result.ts'
import { bestPeer, growth, isGoalMet, median, memory, processors, ratioTo, seconds, spread } from '../../../bench/statistics.ts'

const ran = (...times: number[]): Outcome => ({ samples: times.map((time) => ({ seconds: time, processors: 2 * time, memory: 100 })) })
const failed: Outcome = { samples: [], failure: 'wrong result: files: 3, not 4' }
const BUILDERS = ['tbuild', 'before', 'docker', 'buildah'].map((name) => ({
  name,
  version: '1',
  isPeer: name === 'docker' || name === 'buildah',
  notes: [],
}))
const REPORT = { builders: BUILDERS }

function caseOf(outcomes: Case['outcomes'], goal?: Case['goal']): Case {
  return { load: 'copy', name: 'cold', amount: 10, unit: 'files', goal, outcomes }
}

test.each([
  [[3, 1, 2], 2],
  [[4, 1, 3, 2], 2.5],
  [[7], 7],
])('the median of %j', (values, expected) => {
  expect(median(values)).toBe(expected)
})

test('the median of nothing is no number', () => {
  expect(median([])).toBeNaN()
})

test('a spread is median, least and most of the runs, and there is none of who failed or took no part', () => {
  expect(spread(ran(3, 1, 2), seconds)).toEqual({ median: 2, least: 1, most: 3 })
  expect([spread(failed, seconds), spread({ ...ran(1), failure: 'late' }, seconds), spread(undefined, seconds)]).toEqual([
    undefined,
    undefined,
    undefined,
  ])
})

test('what a daemon used counts as its command’s', () => {
  const sample = { seconds: 1, processors: 2, memory: 10, daemon: { processors: 3, memory: 20 } }
  expect([processors(sample), memory(sample)]).toEqual([5, 30])
})

describe('the best peer', () => {
  test('is the fastest that gave a right result; another checkout is none', () => {
    expect(bestPeer(REPORT, caseOf({ tbuild: ran(1), before: ran(1), docker: ran(4), buildah: ran(5) }))).toBe('docker')
    expect(bestPeer(REPORT, caseOf({ tbuild: ran(1), docker: failed, buildah: ran(5) }))).toBe('buildah')
    expect(bestPeer(REPORT, caseOf({ tbuild: ran(1), before: ran(1) }))).toBeUndefined()
  })

  test('is what tbuild’s median is divided by', () => {
    expect(ratioTo(caseOf({ tbuild: ran(1, 2, 9), docker: ran(4) }), 'docker')).toBe(0.5)
    expect(ratioTo(caseOf({ tbuild: failed, docker: ran(4) }), 'docker')).toBeUndefined()
  })
})

describe('a goal', () => {
  const outcomes = { tbuild: ran(1), docker: ran(4), buildah: ran(2) }

  test.each([
    [{ best: 0.5 }, true],
    [{ best: 0.4 }, false],
    [{ docker: 0.25 }, true],
    [{ best: 0.5, docker: 0.2 }, false],
    [{}, undefined],
  ])('%j is met: %s', (goal, expected) => {
    expect(isGoalMet(REPORT, caseOf(outcomes, goal))).toBe(expected)
  })

  test('cannot be told where who it compares with did not run', () => {
    expect(isGoalMet(REPORT, caseOf({ tbuild: ran(1) }, { best: 0.5 }))).toBeUndefined()
    expect(isGoalMet(REPORT, caseOf({ tbuild: ran(1), buildah: ran(2) }, { best: 0.5, docker: 0.1 }))).toBe(true)
  })
})

test('growth in proportion has the exponent 1, with the square 2', () => {
  const grown = (time: number) => growth({ amount: 10, time: 1 }, { amount: 100, time })
  expect(grown(10)).toEqual({ amount: 10, time: 10, exponent: 1 })
  expect(grown(100).exponent).toBeCloseTo(2)
  expect(grown(1).exponent).toBe(0)
})
