import { mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals'
import { sha256 } from '../../../src/base/digest.ts'
import type { BuildEvent } from '../../../src/base/events.ts'
import { diskSpace, EventLog } from '../../../src/job/event-log.ts'

let folder = ''
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'tbuild-events-'))
})
afterAll(() => rmSync(folder, { recursive: true, force: true }))

const file = { name: 'Dockerfile', text: 'FROM scratch\n' }
const span = { file, start: { line: 1, column: 1 }, end: { line: 1, column: 13 } }
const log = (data: Uint8Array): BuildEvent => ({ type: 'log', id: 'a', stream: 'stdout', data, time: 1 })
/** More than is kept in memory, with output of all lengths, one longer than what is read at a time. */
const EVENTS: readonly BuildEvent[] = [
  { type: 'vertex', id: 'a', digest: sha256('a'), inputs: [], name: 'RUN ä', span },
  ...Array.from({ length: 40 }, (_, index) => log(new Uint8Array(index * 1000).fill(index))),
  log(new Uint8Array(200_000).fill(255)),
  { type: 'failed', id: 'a', time: 2, canceled: false, message: 'no' },
  { type: 'error', code: 'RUN_FAILED', message: 'no', span, hint: 'mend it' },
]

async function read(events: AsyncIterable<BuildEvent>): Promise<BuildEvent[]> {
  const found: BuildEvent[] = []
  for await (const event of events) found.push(event)
  return found
}

/** Bytes are many, and compared soon by their digest. */
function shown(events: readonly BuildEvent[]): object[] {
  return events.map((event) => (event.type === 'log' ? { ...event, data: sha256(event.data) } : event))
}

async function appendAll(events: EventLog, list: Iterable<BuildEvent>): Promise<void> {
  for (const event of list) await events.append(event)
}

describe('the events of a job', () => {
  test('are the same for who was there from the first on, who comes late, and who comes when all is over', async () => {
    const events = new EventLog(() => folder, diskSpace)
    const early = read(events)
    await appendAll(events, EVENTS.slice(0, 30))
    const late = read(events)
    await appendAll(events, EVENTS.slice(30))
    events.end()
    for (const reader of [early, late, read(events)]) expect(shown(await reader)).toEqual(shown(EVENTS))
    // Nobody has to remove anything.
    expect(readdirSync(folder)).toEqual([])
    await events.close()
  })

  test('are all read by who asks before there are any, and hears of the end only with them', async () => {
    const events = new EventLog(() => folder, diskSpace)
    const reader = read(events)
    events.append(log(Buffer.from('only')))
    events.end()
    expect((await reader).length).toBe(1)
  })

  test('are written to no file while they are few', async () => {
    const events = new EventLog(() => {
      throw new Error('there is no need of a file')
    }, diskSpace)
    expect(events.append(log(Buffer.from('few')))).toBeUndefined()
    events.end()
    expect(await read(events)).toEqual([log(new Uint8Array(Buffer.from('few')))])
  })

  test('are given up by close: who is waiting, and who comes then, is told', async () => {
    const events = new EventLog(() => folder, diskSpace)
    await appendAll(events, EVENTS)
    const waiting = read(events)
    waiting.catch(() => {})
    await new Promise(setImmediate)
    await events.close()
    for (const reader of [waiting, read(events)]) await expect(reader).rejects.toMatchObject({ code: 'EVENTS_LOST' })
    expect(events.append(log(Buffer.from('late')))).toBeUndefined()
  })

  test('that cannot be kept end the readers, not who writes', async () => {
    const events = new EventLog(() => join(folder, 'missing'), diskSpace)
    const reader = read(events)
    reader.catch(() => {})
    await appendAll(events, EVENTS)
    events.end()
    await expect(reader).rejects.toMatchObject({ code: 'EVENTS_LOST', hint: expect.stringContaining('disk') })
  })

  test.each([
    ['small', { size: 1_000_000, free: 100_000 }],
    ['large', { size: 1e12, free: 200_000_000 }],
  ])('leave a %s disk that is almost full to the build', async (_which, space) => {
    const events = new EventLog(
      () => folder,
      async () => space,
    )
    await appendAll(events, EVENTS)
    events.end()
    await expect(read(events)).rejects.toMatchObject({ code: 'EVENTS_LOST', message: expect.stringContaining('almost full') })
    await events.close()
  })

  test('take no memory: 200 MB that nobody reads, and that a slow reader has begun to read', async () => {
    const events = new EventLog(() => folder, diskSpace)
    const slow = events[Symbol.asyncIterator]()
    const chunk = log(new Uint8Array(50_000).fill(7))
    const heap = () => process.memoryUsage().arrayBuffers
    const before = heap()
    let most = 0
    for (let written = 0; written < 200_000_000; written += 50_000) {
      await events.append(chunk)
      if (written === 0) await slow.next()
      most = Math.max(most, heap() - before)
    }
    events.end()
    // Buffers that are not collected yet are in it: a tenth of what was logged is far more than is kept.
    expect(most).toBeLessThan(50_000_000)
    let count = 0
    for await (const event of events) count += event.type === 'log' ? event.data.length : 0
    expect(count).toBe(200_000_000)
    await events.close()
  })
})
