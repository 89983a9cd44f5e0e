import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
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
  return {
    file: readIfThere(join(dest, 'file')),
    copy: readIfThere(join(dest, 'copy')),
    ran: ran.filter((name) => /^(RUN|COPY)/.test(name)),
  }
}

function write(name: string, text: string): void {
  writeFileSync(join(context, name), text)
}

function readIfThere(path: string): string {
  return existsSync(path) ? read(path) : ''
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

  // `slow` runs again; all else was looked for in the cache when the file is edited. Lines, the files that they make of it, and the target that a cold build takes.
  const SLOW = 'FROM busybox AS slow\nARG V\nRUN sleep 1; : $V; echo slow > /x\n'
  test.each([
    [
      'mounted',
      'FROM busybox\nRUN --mount=type=bind,target=/src cat /src/file > /one\nCOPY --from=slow /x /x\nRUN cp /one /two\n',
      ['one', 'two'],
      undefined,
    ],
    ['beside a URL', 'FROM busybox\nADD URL file /d/\nCOPY --from=slow /x /x\n', ['d/file'], undefined],
    [
      'of another stage',
      'FROM busybox AS other\nCOPY file /one\nFROM busybox\nCOPY --from=other /one /one\nCOPY --from=slow /x /x\n',
      ['one'],
      'other',
    ],
    [
      'copied twice',
      `FROM busybox AS lib\nCOPY --from=slow /x /x\nCOPY file /one\nFROM busybox AS other\nCOPY file /two\nFROM busybox\nCOPY --from=lib /one /one\nCOPY --from=other /two /two\n`,
      ['one', 'two'],
      undefined,
    ],
  ])(
    'found in an imported cache, %s: no record and no exported cache says what is not so',
    async (_name, lines, paths, target) => {
      const server = createServer((_request, response) => response.end('from the server'))
      await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
      try {
        write('Dockerfile', SLOW + lines.replace('URL', `http://127.0.0.1:${(server.address() as AddressInfo).port}/u`))
        write('.dockerignore', 'Dockerfile\n')
        const [first, second] = [join(folder, `first-${count}`), join(folder, `second-${count}`)]
        const made = async (store: string, options: Partial<BuildOptions>, onStart?: (started: string) => void) => {
          const dest = join(folder, `made-${count}-${Math.random()}`)
          await run(store, { buildArgs: { V: '2' }, outputs: [{ type: 'local', dest }], ...options }, onStart)
          return new Set(paths.map((path) => read(join(dest, path))))
        }
        const edit = (started: string) => {
          if (started.startsWith('RUN sleep')) setTimeout(() => write('file', 'new'), 500)
        }
        await made('one', { buildArgs: { V: '1' }, cacheTo: [{ type: 'local', dest: first, mode: 'max' }] })
        const between = { cacheFrom: [{ type: 'local', src: first }], cacheTo: [{ type: 'local', dest: second, mode: 'max' }] } as const
        await made('two', { ...between, jobs: 1 }, edit)
        for (const text of ['new', 'old']) {
          write('file', text)
          expect(await made('two', {})).toEqual(new Set([text]))
          const cold = { cacheFrom: [{ type: 'local', src: second }], ...(target === undefined ? {} : { target }) } as const
          expect(await made(`cold-${text}`, cold)).toEqual(new Set([text]))
        }
      } finally {
        server.close()
      }
    },
    120_000,
  )
})
