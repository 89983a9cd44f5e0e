import { afterAll, beforeAll, describe, expect, test } from '@jest/globals'
import { sha256 } from '../../src/base/digest.ts'
import type { BuildEvent } from '../../src/base/events.ts'
import { type Job, startBuild } from '../../src/job/job.ts'
import { script, tbuildAsync } from '../support/cli.ts'
import { running } from '../support/processes.ts'
import { openWorkspace, type Workspace } from '../support/workspace.ts'

/** A build as a job, and the event that a failure is. */
let workspace: Workspace
let layout = ''
beforeAll(() => {
  workspace = openWorkspace()
  layout = script('busybox-layout.mjs').stdout.trim()
}, 300_000)
afterAll(() => workspace.remove(), 120_000)

function start(dockerfile: string, more: object = {}): Job<unknown> {
  const context = workspace.context({ Dockerfile: dockerfile })
  return startBuild({ context, root: workspace.store, buildContexts: { busybox: `oci-layout://${layout}` }, ...more })
}

async function read({ events }: Job<unknown>, on: (event: BuildEvent) => void = () => {}): Promise<BuildEvent[]> {
  const found: BuildEvent[] = []
  for await (const event of events) {
    found.push(event)
    on(event)
  }
  return found
}

/** Bytes are many, and compared soon by their digest. */
const shown = (events: readonly BuildEvent[]) =>
  events.map((event) => (event.type === 'log' ? { ...event, data: sha256(event.data) } : event))
const logged = (events: readonly BuildEvent[]) => events.reduce((sum, event) => sum + (event.type === 'log' ? event.data.length : 0), 0)

describe('a job', () => {
  test('has the same events for two readers, one of whom comes when it is over', async () => {
    const job = start('FROM busybox\nRUN yes | head -c 3000000\n')
    const events = await read(job)
    expect(await job.result).toMatchObject({ steps: { total: 1, cached: 0 } })
    expect(logged(events)).toBe(3_000_000)
    expect(events.at(-1)).toMatchObject({ type: 'done', cached: false })
    expect(shown(await read(job))).toEqual(shown(events))
    await job.close()
  })

  test('is ended by cancel: its events end, and nobody has to wait for its result', async () => {
    const job = start('FROM busybox\nRUN echo started && sleep 543298\n')
    const events = await read(job, ({ type }) => type === 'log' && job.cancel())
    expect(events.at(-1)).toEqual({ type: 'error', code: 'CANCELED', message: 'the build was canceled' })
    await expect(job.result).rejects.toMatchObject({ code: 'CANCELED' })
    expect(running('sleep 543298')).toEqual([])
    await job.close()
  })

  test('that waits for standard input is ended, too', async () => {
    const stdin: AsyncIterable<Uint8Array> = { [Symbol.asyncIterator]: () => ({ next: () => new Promise(() => {}) }) }
    const job = start('', { context: '-', stdin })
    setTimeout(() => job.cancel(), 100)
    expect((await read(job)).at(-1)).toMatchObject({ type: 'error', code: 'CANCELED' })
    await job.close()
  })

  test.each<[string, string, object, string]>([
    ['a step', 'FROM busybox\nRUN exit 3\n', {}, 'RUN_FAILED'],
    ['the Dockerfile', 'FROM busybox\nRUNN x\n', {}, 'DOCKERFILE_SYNTAX'],
    ['an option', 'FROM busybox\n', { tags: ['/'] }, 'TAG_INVALID'],
  ])('that fails by %s has that as its last event', async (_what, dockerfile, more, code) => {
    const job = start(dockerfile, more)
    const last = (await read(job)).at(-1)
    const error = await job.result.then(
      () => undefined,
      (caught) => caught,
    )
    expect(last).toMatchObject({ type: 'error', code: error.code, message: error.message })
    expect([error.code, last?.type === 'error' ? last.span : undefined]).toEqual([code, error.span])
  })
})

describe('rawjson', () => {
  test.each<[string, string, readonly string[], object]>([
    ['a build', 'FROM busybox\nRUN exit 3\n', [], { code: 'RUN_FAILED', span: { file: 'Dockerfile', start: { line: 2, column: 1 } } }],
    ['a parse error', 'FROM busybox\nRUNN x\n', [], { code: 'DOCKERFILE_SYNTAX', message: expect.stringContaining('RUNN') }],
    ['a check', 'FROM busybox\nRUNN x\n', ['--check'], { code: 'DOCKERFILE_SYNTAX' }],
    ['an outline', 'FROM busybox\nRUNN x\n', ['--call=outline'], { code: 'DOCKERFILE_SYNTAX' }],
    ['a file that cannot be written', 'FROM busybox\n', ['--iidfile', '/proc/nothing/iid'], { code: 'EXPORT_DEST_MISSING' }],
  ])('has the failure of %s once, as the last event, before the report', async (_what, dockerfile, more, event) => {
    const context = workspace.context({ Dockerfile: dockerfile })
    const args = ['--root', workspace.store, '--build-context', `busybox=oci-layout://${layout}`, '--progress', 'rawjson', ...more, context]
    const { stderr, status } = await tbuildAsync(args)
    expect(status).not.toBe(0)
    const events = stderr.split('\n').flatMap((line) => (line.startsWith('{') ? [JSON.parse(line)] : []))
    expect(events.at(-1)).toMatchObject({ type: 'error', ...event })
    expect(events.filter(({ type }) => type === 'error').length).toBe(1)
    expect(stderr).toMatch(/}\n(?:[^{]*\n)?ERROR: /)
  })

  test('other displays have it in the report only', async () => {
    const context = workspace.context({ Dockerfile: 'FROM busybox\nRUNN x\n' })
    const { stderr } = await tbuildAsync(['--root', workspace.store, '--progress', 'plain', context])
    expect(stderr.match(/RUNN/g)?.length).toBe(2)
    expect(stderr.match(/unknown instruction/g)?.length).toBe(1)
  })
})
