import { describe, expect, test } from '@jest/globals'
import { type CpuQuota, cpuQuotas } from '../../../src/solve/cpu-quota.ts'
import { type MachineState, machineState, SpareMachine } from '../../../src/solve/spare-machine.ts'

const GIB = 1024 ** 3

const FIRST: MachineState = { ticks: 1000, idle: 500, time: 5e6, quotas: [], available: 8 * GIB, total: 8 * GIB }

/** What a machine of 8 GiB would let begin after 100 ticks, of which so many were idle and after which so much is free. */
const steps = (idle: number, available = 8 * GIB): number => stepsBetween(FIRST, { ...FIRST, ticks: 1100, idle: 500 + idle, available })

function stepsBetween(...states: MachineState[]): number {
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
    return { ...FIRST, ticks, idle: ticks }
  }
  const idle = new SpareMachine(look, 8)
  expect([idle.steps(), idle.steps()]).toEqual([0, 8])
  idle.forget()
  expect([idle.steps(), idle.steps()]).toEqual([0, 8])
})

test('the ticks of all processors are read, those of guests once', () => {
  const state = machineState('cpu  10 20 30 400 50 6 7 8 9 10\ncpu0 1 2 3 4 5 6 7 8 9 10\n', [])
  expect(state).toMatchObject({ ticks: 531, idle: 400 })
  expect(state?.available).toBeGreaterThan(0)
  expect(state?.available).toBeLessThanOrEqual(state?.total as number)
  expect([machineState('', []), machineState('cpu  x y z 1\n', [])]).toEqual([undefined, undefined])
})

test('none while a container has used more than half of its quota, however idle the machine is', () => {
  /** In the 100 ms between two looks, by a container of half a processor that used so many of its 50 ms. */
  const within = (used: number, known = true): number => {
    const group = { group: '/g', processors: 0.5, used: 7e6 }
    const idle = { ...FIRST, ticks: 1100, idle: 600, time: FIRST.time + 100_000 }
    return stepsBetween({ ...FIRST, quotas: known ? [group] : [] }, { ...idle, quotas: [{ ...group, used: group.used + used * 1000 }] })
  }
  expect([within(0), within(25), within(26), within(50)]).toEqual([8, 8, 0, 0])
  expect(within(0, false)).toBe(0)
})

describe('the quotas of a process are those of its cgroup and of all above it', () => {
  const read = (files: Record<string, string>) => (path: string) => files[path]
  const group = (name: string, processors: number, used: number): CpuQuota => ({ group: `/sys/fs/cgroup${name}`, processors, used })

  test('in cgroup v2', () => {
    const files = {
      '/proc/self/cgroup': '0::/build/step\n',
      '/sys/fs/cgroup/build/step/cpu.max': 'max 100000\n',
      '/sys/fs/cgroup/build/step/cpu.stat': 'usage_usec 11\nuser_usec 7\n',
      '/sys/fs/cgroup/build/cpu.max': '150000 100000\n',
      '/sys/fs/cgroup/build/cpu.stat': 'usage_usec 22\nuser_usec 7\n',
    }
    expect(cpuQuotas(read(files))).toEqual([group('/build', 1.5, 22)])
    // In a cgroup namespace, whose root has the file as well.
    const own = { '/proc/self/cgroup': '0::/\n', '/sys/fs/cgroup/cpu.max': '50000 100000\n', '/sys/fs/cgroup/cpu.stat': 'usage_usec 33\n' }
    expect(cpuQuotas(read(own))).toEqual([group('', 0.5, 33)])
  })

  test('in cgroup v1, with usage in a hierarchy of its own or in the same', () => {
    const files = {
      '/proc/self/cgroup': '9:name=systemd:/x\n2:cpuacct:/a\n1:cpu:/a\n0::/\n',
      '/sys/fs/cgroup/cpu/a/cpu.cfs_quota_us': '20000\n',
      '/sys/fs/cgroup/cpu/a/cpu.cfs_period_us': '10000\n',
      '/sys/fs/cgroup/cpuacct/a/cpuacct.usage': '44000\n',
      '/sys/fs/cgroup/cpu/cpu.cfs_quota_us': '-1\n',
      '/sys/fs/cgroup/cpu/cpu.cfs_period_us': '100000\n',
    }
    expect(cpuQuotas(read(files))).toEqual([group('/cpu/a', 2, 44)])
    // A container that sees the path of the host, and its own cgroup as the root.
    const inContainer = {
      '/proc/self/cgroup': '4:cpu,cpuacct:/docker/0123\n',
      '/sys/fs/cgroup/cpu/cpu.cfs_quota_us': '50000\n',
      '/sys/fs/cgroup/cpu/cpu.cfs_period_us': '100000\n',
      '/sys/fs/cgroup/cpu/cpuacct.usage': '55000\n',
    }
    expect(cpuQuotas(read(inContainer))).toEqual([group('/cpu', 0.5, 55)])
  })

  test('and what cannot be read is none', () => {
    expect(cpuQuotas(read({}))).toEqual([])
    const files = {
      '/proc/self/cgroup': '1:cpu:/a\n0::/a\nnonsense\n',
      '/sys/fs/cgroup/a/cpu.max': '',
      '/sys/fs/cgroup/cpu/a/cpu.cfs_quota_us': '100\n',
    }
    expect(cpuQuotas(read(files))).toEqual([])
  })
})
