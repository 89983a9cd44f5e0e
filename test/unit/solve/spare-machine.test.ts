import { expect, test } from '@jest/globals'
import { type MachineState, machineState, SpareMachine } from '../../../src/solve/spare-machine.ts'

const GIB = 1024 ** 3

/** What a machine of 8 GiB would let begin after 100 ticks, of which so many were idle and after which so much is free. */
function steps(idle: number, available = 8 * GIB): number {
  const states: MachineState[] = [
    { ticks: 1000, idle: 500, available: 8 * GIB, total: 8 * GIB },
    { ticks: 1100, idle: 500 + idle, available, total: 8 * GIB },
  ]
  const machine = new SpareMachine(() => states.shift(), 8)
  expect(machine.steps()).toBe(0)
  return machine.steps()
}

test('more steps begin while half of the processors’ time is idle', () => {
  expect([steps(100), steps(50), steps(49), steps(0)]).toEqual([8, 8, 0, 0])
})

test('as many as the memory has room for, of which a quarter is kept', () => {
  expect([steps(100, 3 * GIB), steps(100, 2 * GIB + GIB / 4), steps(100, 2 * GIB), steps(100, GIB)]).toEqual([4, 1, 0, 0])
})

test('none where the machine does not tell, and none by what is long ago', () => {
  const machine = new SpareMachine(() => undefined, 8)
  expect([machine.steps(), machine.steps()]).toEqual([0, 0])
  let ticks = 0
  const look = () => {
    ticks += 100
    return { ticks, idle: ticks, available: 8 * GIB, total: 8 * GIB }
  }
  const idle = new SpareMachine(look, 8)
  expect([idle.steps(), idle.steps()]).toEqual([0, 8])
  idle.forget()
  expect([idle.steps(), idle.steps()]).toEqual([0, 8])
})

test('the ticks of all processors are read, those of guests once', () => {
  const state = machineState('cpu  10 20 30 400 50 6 7 8 9 10\ncpu0 1 2 3 4 5 6 7 8 9 10\n')
  expect(state).toMatchObject({ ticks: 531, idle: 400 })
  expect(state?.available).toBeGreaterThan(0)
  expect(state?.available).toBeLessThanOrEqual(state?.total as number)
  expect([machineState(''), machineState('cpu  x y z 1\n')]).toEqual([undefined, undefined])
})
