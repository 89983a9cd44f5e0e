import { mkdirSync, mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals'
import type { BuildEvent } from '../../src/base/events.ts'
import { build } from '../../src/build.ts'
import type { BuildOptions } from '../../src/build-options.ts'
import { script } from '../support/cli.ts'

/** Files that somebody edits while they are built: whatever gets into an image, no cache may say of it that it was made of other files. */
let folder = ''
let busybox = ''
let context = ''
let count = 0
beforeAll(() => {
  busybox = `oci-layout://${script('busybox-layout.mjs').stdout.trim()}`
  folder = mkdtempSync(join(tmpdir(), 'tbuild-changing-'))
}, 300_000)
afterAll(() => rmSync(folder, { recursive: true, force: true }))
beforeEach(() => {
  count += 1
  context = join(folder, `context-${count}`)
  mkdirSync(context)
  write('Dockerfile', DOCKERFILE)
  write('file', 'old')
})

const DOCKERFILE = `FROM busybox
RUN echo before
COPY file /file
RUN cp /file /copy
RUN echo after
`

interface Ended {
  readonly file: string
  readonly copy: string
  readonly ran: readonly string[]
}

/** `onStart` is called with the text of each instruction that begins to run. */
async function run(store: string, options: Partial<BuildOptions> = {}, onStart: (instruction: string) => void = () => {}): Promise<Ended> {
  const dest = join(folder, `output-${count}-${Math.random()}`)
  const names = new Map<string, string>()
  const ran: string[] = []
  const onEvent = (event: BuildEvent) => {
    if (event.type === 'vertex') names.set(event.id, event.name.replace(/^\[[^\]]*\] /, ''))
    if (event.type === 'started') onStart(names.get(event.id) ?? '')
    if (event.type === 'done' && !event.cached) ran.push(names.get(event.id) ?? '')
  }
  const common = { context, root: join(folder, `${store}-${count}`), environment: { HOME: folder }, buildContexts: { busybox } }
  await build({ ...common, outputs: [{ type: 'local', dest }], ...options }, { onEvent })
  return { file: read(join(dest, 'file')), copy: read(join(dest, 'copy')), ran: ran.filter((name) => /^(RUN|COPY)/.test(name)) }
}

function write(name: string, text: string): void {
  writeFileSync(join(context, name), text)
}

function read(path: string): string {
  return readFileSync(path, 'utf8')
}

/** Once, when the instruction begins. */
function editWhile(instruction: string): (started: string) => void {
  let isEdited = false
  return (started) => {
    if (started !== instruction || isEdited) return
    isEdited = true
    write('file', 'new')
  }
}

const OLD = { file: 'old', copy: 'old' }
const NEW = { file: 'new', copy: 'new' }

describe('a file that is edited during a build', () => {
  test('before it is copied: the image has it as it is then, and so has its record', async () => {
    expect(await run('store', {}, editWhile('RUN echo before'))).toMatchObject(NEW)
    expect(await run('store')).toMatchObject({ ...NEW, ran: [] })
    write('file', 'old')
    expect(await run('store')).toMatchObject(OLD)
  }, 120_000)

  test('all the time: it is copied, and no other build takes what was copied', async () => {
    const writer = setInterval(() => write('file', `${Math.random()}`), 1)
    write('large', 'x'.repeat(2 ** 26))
    write('Dockerfile', 'FROM busybox\nCOPY . /\nRUN cp /file /copy\n')
    await run('store').finally(() => clearInterval(writer))
    const { file, copy } = await run('store')
    expect([file, copy]).toEqual([read(join(context, 'file')), file])
  }, 120_000)

  test('after it was copied: an exported cache has what was copied', async () => {
    const cache = join(folder, `cache-${count}`)
    const cacheTo: BuildOptions['cacheTo'] = [{ type: 'local', dest: cache, mode: 'max' }]
    expect(await run('store', { cacheTo }, editWhile('RUN echo after'))).toMatchObject(OLD)
    expect(await run('other', { cacheFrom: [{ type: 'local', src: cache }] })).toMatchObject(NEW)
  }, 120_000)

  test('after an imported cache was asked: what the store keeps of it was made of the files of then', async () => {
    const cache = join(folder, `cache-${count}`)
    // What is copied from another stage has no key before its files are there: that of the steps from there on is only known when `slow` has run.
    const staged = `FROM busybox AS tools\nRUN echo tools > /tool\n${DOCKERFILE.replace('COPY', 'COPY --from=tools /tool /tool\nCOPY')}`
    write('Dockerfile', staged)
    await run('store', { cacheTo: [{ type: 'local', dest: cache, mode: 'max' }] })
    const more = 'RUN --mount=from=tools,target=/t --mount=from=slow,target=/s echo more'
    write('Dockerfile', `FROM busybox AS slow\nRUN echo slow\n${staged}${more}\n`)
    const cacheFrom: BuildOptions['cacheFrom'] = [{ type: 'local', src: cache }]
    expect(await run('other', { cacheFrom }, editWhile('RUN echo slow'))).toMatchObject(OLD)
    expect(await run('other')).toMatchObject(NEW)
  }, 120_000)

  test('while its key is made, before an imported cache is asked: what is found is not kept under that key', async () => {
    const cache = join(folder, `cache-${count}`)
    write('Dockerfile', 'FROM busybox\nCOPY . /\nRUN cp /file /copy\n')
    write('.dockerignore', 'Dockerfile\n')
    // Hashed for the step's own key behind `file`, and long enough for an edit meanwhile.
    writeFileSync(join(context, 'large'), '')
    truncateSync(join(context, 'large'), 2 ** 28)
    write('file', 'new')
    await run('store', { cacheTo: [{ type: 'local', dest: cache, mode: 'max' }] })
    write('file', 'old')
    write('Dockerfile', `${read(join(context, 'Dockerfile'))}RUN echo more\n`)
    const edit = (started: string) => {
      if (started === 'load build context') setTimeout(() => write('file', 'new'), 60)
    }
    await run('other', { cacheFrom: [{ type: 'local', src: cache }] }, edit)
    write('file', 'old')
    expect(await run('other')).toMatchObject(OLD)
    write('file', 'new')
    expect(await run('other')).toMatchObject(NEW)
  }, 120_000)
})
