import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals'
import { startTbuild } from '../support/cli.ts'
import { countCalls, faultLibrary, forEach, runTbuild, spread } from '../support/fault/fault.ts'
import { Workload } from '../support/fault/workload.ts'
import { running, until } from '../support/processes.ts'

/** A sample for each change; all of them by `npm run crash-test`, which sets TBUILD_CRASH_POINTS=all. */
const WANTED = process.env.TBUILD_CRASH_POINTS === 'all' ? Number.POSITIVE_INFINITY : Number(process.env.TBUILD_CRASH_POINTS ?? 24)
const HOURS = 4 * 3600_000

/** Run, and what the output is compared with. */
let workload: Workload
let image: string
let calls: number

beforeAll(async () => {
  faultLibrary()
  workload = new Workload()
  const place = workload.place()
  calls = await countCalls(workload.build(place), place)
  image = workload.image(place)
  workload.forget(place)
}, 300_000)
afterAll(() => workload.dispose(), 120_000)

describe('a build that is killed', () => {
  test(
    'at any write of the store leaves it valid, and the next build goes on from there',
    async () => {
      expect(calls).toBeGreaterThan(500)
      let killed = 0
      const failures = await forEach(spread(calls, WANTED), 2, async (at) => {
        const place = workload.place()
        try {
          const run = await runTbuild(workload.build(place), { root: place, at, action: 'kill' })
          // Two runs differ by a few calls, so the last points may lie after the end.
          if (run.signal === 'SIGKILL') killed += 1
          else if (run.status !== 0 || at < calls - 100) throw new Error(`it was not killed but ended with ${run.status}: ${run.stderr}`)
          await workload.checkAndFinish(place, image)
        } finally {
          workload.forget(place)
        }
      })
      expect(failures).toEqual([])
      expect(killed).toBeGreaterThan(Math.min(WANTED, calls) * 0.8)
      if (WANTED > calls) process.stderr.write(`crash test: killed at ${killed} of ${calls} points\n`)
    },
    HOURS,
  )

  test(
    'at any time leaves the store valid',
    async () => {
      const times = WANTED > calls ? 20 : 3
      const failures = await forEach(spread(400, times), 1, async (milliseconds) => {
        const place = workload.place()
        try {
          const child = startTbuild(workload.build(place))
          const ended = new Promise((resolve) => child.once('exit', resolve))
          await sleep(milliseconds)
          child.kill('SIGKILL')
          await ended
          await workload.checkAndFinish(place, image)
        } finally {
          workload.forget(place)
        }
      })
      expect(failures).toEqual([])
    },
    HOURS,
  )

  test('takes its container with it', async () => {
    const place = workload.place()
    const context = join(place, 'context')
    mkdirSync(context)
    writeFileSync(join(context, 'Dockerfile'), 'FROM busybox\nRUN echo started; (sleep 918273 &) ; sleep 918273\n')
    const child = startTbuild(workload.build(place, context))
    let seen = ''
    await new Promise<void>((resolve) => {
      child.once('exit', () => resolve())
      child.stderr.on('data', (data: Buffer) => {
        seen += data.toString()
        if (/ started$/m.test(seen)) resolve()
      })
    })
    // The shell says it has started before it starts the others.
    await until(() => running('sleep 918273').length > 0, 5_000)
    expect(running('sleep 918273').length).toBeGreaterThan(0)
    child.kill('SIGKILL')
    await until(() => running('sleep 918273').length === 0, 5_000)
    expect(running('sleep 918273')).toEqual([])
    await workload.checkAndFinish(place, image)
    workload.forget(place)
  }, 60_000)

  test('twice in a row at different places does no more harm', async () => {
    const failures = await forEach(spread(calls, 4), 1, async (at) => {
      const place = workload.place()
      try {
        await runTbuild(workload.build(place), { root: place, at, action: 'kill' })
        // The second dies within the removal of what the first left.
        await runTbuild(workload.build(place), { root: place, at: 12, action: 'kill' })
        await workload.checkAndFinish(place, image)
      } finally {
        workload.forget(place)
      }
    })
    expect(failures).toEqual([])
  }, 300_000)
})
