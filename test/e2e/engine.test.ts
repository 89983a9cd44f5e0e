import { readdirSync, readlinkSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals'
import type { BuildEvent, OnEvent } from '../../src/base/events.ts'
import type { BuildOptions, BuildTarget } from '../../src/build-options.ts'
import { type Engine, openEngine } from '../../src/engine/engine.ts'
import type { OpenBuild } from '../../src/engine/open-build.ts'
import { fromThisMachine } from '../../src/this-machine/request.ts'
import { readFileInRoot } from '../../src/tree/read.ts'
import { script, tbuild, tbuildAsync } from '../support/cli.ts'
import { alive, childrenOf, running } from '../support/processes.ts'
import { openWorkspace, type Workspace } from '../support/workspace.ts'

/** An engine in this process; what looks after the store is the command line, in processes of its own. */
let workspace: Workspace
let busybox = ''
let engine: Engine
beforeAll(async () => {
  workspace = openWorkspace()
  busybox = `oci-layout://${script('busybox-layout.mjs').stdout.trim()}`
  engine = await openEngine({ root: workspace.store })
}, 300_000)
afterAll(async () => {
  await engine.close()
  workspace.remove()
}, 120_000)

const request = (dockerfile: string, more: Partial<BuildOptions> = {}): BuildOptions => ({
  context: workspace.context({ Dockerfile: dockerfile }),
  buildContexts: { busybox },
  ...more,
})

function open(given: BuildOptions, onEvent: OnEvent = () => {}): Promise<OpenBuild> {
  const { options, caller } = fromThisMachine(given, { onEvent })
  return engine.openBuild(options, caller)
}

/** Opens a build and closes it after its use. */
async function opened<T>(given: BuildOptions, use: (build: OpenBuild) => Promise<T>, onEvent?: OnEvent): Promise<T> {
  const build = await open(given, onEvent)
  try {
    return await use(build)
  } finally {
    await build.close()
  }
}

async function read(build: OpenBuild, path: string): Promise<string | undefined> {
  const [target] = await build.targets()
  if (target === undefined) throw new Error('no target')
  return readFileInRoot(await build.files(target), path, 1000)?.toString()
}

const inStore = (folder: string) => readdirSync(join(workspace.store, 'v1', folder)).filter((name) => !name.endsWith('.json'))
const pruneAll = ['prune', '--all', '--root']

describe('what an engine holds of its store', () => {
  test('an idle one holds nothing: another process collects what it built, and it builds that again', async () => {
    const given = request('FROM busybox\nRUN echo one > /file\n')
    expect(await opened(given, (build) => read(build, '/file'))).toBe('one\n')
    expect(await opened(given, (build) => build.export())).toMatchObject({ steps: { total: 1, cached: 1 } })
    expect([inStore('layers').length > 0, inStore('leases')]).toEqual([true, []])
    expect(tbuild([...pruneAll, workspace.store]).status).toBe(0)
    expect(inStore('layers')).toEqual([])
    const again = await opened(given, async (build) => [(await build.export()).steps, await read(build, '/file')])
    expect(again).toEqual([{ total: 1, cached: 0 }, 'one\n'])
  }, 120_000)

  test('and no process: what stands ready for RUN ends with the last of its builds, and another one is started', async () => {
    const before = childrenOf(process.pid)
    const started = () => alive(childrenOf(process.pid)).filter(({ pid }) => !before.some((known) => known.pid === pid))
    for (const number of [1, 2]) {
      const builds = [
        await open(request(`FROM busybox\nRUN echo ${number}\n`)),
        await open(request(`FROM busybox\nRUN echo ${number} more\n`)),
      ]
      await Promise.all(builds.map((build) => build.evaluate()))
      expect(started()).toHaveLength(1)
      await builds[0]?.close()
      expect(started()).toHaveLength(1)
      await builds[1]?.close()
      expect(started()).toEqual([])
    }
  }, 120_000)

  test('a build holds what it uses from the first step until it is closed', async () => {
    const given = request('FROM busybox\nRUN echo two > /file\nRUN echo ready && sleep 3 && cat /file > /copy\n')
    let pruned: Promise<{ status: number | null }> | undefined
    const onEvent = (event: BuildEvent) => {
      if (event.type === 'log' && Buffer.from(event.data).includes('ready')) pruned = tbuildAsync([...pruneAll, workspace.store])
    }
    await opened(
      given,
      async (build) => {
        await build.evaluate()
        expect(await pruned).toMatchObject({ status: 0 })
        expect(tbuild([...pruneAll, workspace.store]).status).toBe(0)
        expect(await read(build, '/copy')).toBe('two\n')
        expect((await build.export([{ type: 'oci', dest: workspace.path('held'), tar: false }])).images).toHaveLength(1)
      },
      onEvent,
    )
    expect([inStore('leases'), inStore('tmp')]).toEqual([[], []])
    tbuild([...pruneAll, workspace.store])
    expect(inStore('layers')).toEqual([])
  }, 120_000)

  test('of two builds at once the one that ends first takes nothing from the other', async () => {
    const one = await open(request('FROM busybox\nRUN echo a > /a\n'))
    const two = await open(request('FROM busybox\nRUN echo b > /b\n'))
    await Promise.all([one.evaluate(), two.evaluate()])
    await one.close()
    tbuild([...pruneAll, workspace.store])
    expect(await read(two, '/b')).toBe('b\n')
    await two.close()
  }, 120_000)
})

describe('the end of an engine', () => {
  const given = () => fromThisMachine(request('FROM busybox\nRUN true\nCOPY Dockerfile /\n'))

  test('closes builds that are being opened, and no more can be', async () => {
    const own = await openEngine({ root: workspace.store })
    const { options, caller } = given()
    const opening = own.openBuild(options, caller)
    const evaluated = expect(opening.then((build) => build.evaluate())).rejects.toMatchObject({ code: 'BUILD_CLOSED' })
    await Promise.all([own.close(), own.close()])
    await evaluated
    await expect(own.openBuild(options, caller)).rejects.toMatchObject({ code: 'ENGINE_CLOSED' })
    expect(inStore('leases')).toEqual([])
  }, 120_000)

  test('and of its last build leaves no directory open: a file system of the caller can be unmounted', async () => {
    const open = () => readdirSync('/proc/self/fd').flatMap((fd) => linkOf(`/proc/self/fd/${fd}`))
    const { options, caller } = given()
    const own = await openEngine({ root: workspace.store })
    const build = await own.openBuild(options, caller)
    await build.export()
    expect(open()).toContain(options.context)
    await build.close()
    expect(open().filter((path) => path === options.context || path.startsWith(workspace.store))).toEqual([])
    await expect(own.openBuild({ ...options, file: 'missing' }, caller)).rejects.toMatchObject({ code: 'DOCKERFILE_NOT_FOUND' })
    expect(open()).not.toContain(options.context)
    await own.close()
  }, 120_000)
})

/** None when it was closed meanwhile. */
function linkOf(path: string): string[] {
  try {
    return [readlinkSync(path)]
  } catch {
    return []
  }
}

describe('an open build', () => {
  test('its targets are known, with their config, before anything has run', async () => {
    const events: BuildEvent[] = []
    const dockerfile = 'FROM busybox AS app\nENV A=1\nRUN exit 9\nCMD ["a"]\nUSER 7\n'
    await opened(
      request(dockerfile, { platforms: [{ os: 'linux', architecture: 'amd64' }], labels: { l: 'm' } }),
      async (build) => {
        expect(await build.targets()).toMatchObject([
          { stage: 'app', platform: { architecture: 'amd64' }, config: { Cmd: ['a'], User: '7', Labels: { l: 'm' } } },
        ])
        expect((await build.stages()).targets).toMatchObject([{ name: 'app' }])
        expect((await build.check()).findings).toEqual([])
        expect((await build.outline()).args).toEqual([])
      },
      (event) => events.push(event),
    )
    expect(events.filter(({ type }) => type === 'vertex' || type === 'started')).toEqual([])
  }, 120_000)

  test('each step may be asked for again, and after a failure', async () => {
    await opened(request('FROM busybox\nRUN exit 9\n'), async (build) => {
      await expect(build.evaluate()).rejects.toMatchObject({ code: 'RUN_FAILED' })
      await expect(build.export()).rejects.toMatchObject({ code: 'RUN_FAILED' })
      await expect(build.evaluate((await build.targets())[0])).rejects.toMatchObject({ code: 'RUN_FAILED' })
    })
    await opened(request('FROM busybox\nRUN echo three > /file\n', { tags: ['three'] }), async (build) => {
      await build.evaluate()
      const first = await build.export()
      expect(first).toMatchObject({ steps: { cached: 0 }, tags: ['docker.io/library/three:latest'] })
      expect((await build.export([{ type: 'oci', dest: workspace.path('three'), tar: false }])).images[0]?.configDigest).toBe(first.iid)
      await expect(build.export([{ type: 'image', push: false, pushByDigest: true }])).rejects.toMatchObject({ code: 'OUTPUT_CONFLICT' })
    })
  }, 120_000)

  test('that is closed gives nothing any more, and its processes have ended', async () => {
    let begun = () => {}
    const printed = new Promise<void>((resolve) => {
      begun = resolve
    })
    const build = await open(request('FROM busybox\nRUN echo begun && sleep 543217\n'), (event) => event.type === 'log' && begun())
    const evaluated = expect(build.evaluate()).rejects.toMatchObject({ code: 'BUILD_CLOSED' })
    await printed
    await Promise.all([build.close(), build.close()])
    await evaluated
    expect(running('sleep 543217')).toEqual([])
    await expect(build.targets()).rejects.toMatchObject({ code: 'BUILD_CLOSED' })
    expect(inStore('leases')).toEqual([])
  }, 120_000)
})

test('a client that answers nothing any more keeps neither its build nor the store', async () => {
  const { options, caller } = fromThisMachine(request('FROM busybox\nRUN --mount=type=secret,id=s cat /run/secrets/s\n'))
  const asked = new Promise<void>((resolve) => {
    caller.secret = () => {
      resolve()
      return new Promise(() => {})
    }
  })
  const build = await engine.openBuild(options, caller)
  const evaluated = expect(build.evaluate()).rejects.toMatchObject({ code: 'BUILD_CLOSED' })
  await asked
  await build.close()
  await evaluated
  expect([inStore('leases'), inStore('tmp')]).toEqual([[], []])
}, 60_000)

describe('a target of an open build as a context of another', () => {
  const tools = 'FROM busybox\nENV TOOL=hammer\nRUN echo tool > /tool\nONBUILD RUN echo triggered > /triggered\nWORKDIR /work\n'
  const user =
    'FROM base AS app\nRUN cat /tool > tool-copy && echo $TOOL >> tool-copy\nFROM busybox\nCOPY --from=base /tool /t\nCOPY --from=app / /app/\n'

  async function only(build: OpenBuild): Promise<BuildTarget> {
    const [target] = await build.targets()
    if (target === undefined) throw new Error('no target')
    return target
  }

  test('is a base with its config, and what COPY takes files from; the second time all is cached', async () => {
    await opened(request(tools), async (base) => {
      const given = request(user, { buildContexts: { busybox, base: await only(base) } })
      await opened(given, async (build) => {
        expect(await build.export()).toMatchObject({ steps: { total: 4, cached: 0 } })
        expect([await read(build, '/t'), await read(build, '/app/work/tool-copy')]).toEqual(['tool\n', 'tool\nhammer\n'])
        expect(await read(build, '/app/triggered')).toBe('triggered\n')
      })
      expect(await opened(given, (build) => build.export())).toMatchObject({ steps: { total: 4, cached: 4 } })
    })
    // And when the base is opened again, from its records.
    await opened(request(tools), async (base) => {
      const again = request(user, { buildContexts: { busybox, base: await only(base) } })
      expect(await opened(again, (build) => build.export())).toMatchObject({ steps: { total: 4, cached: 4 } })
    })
    expect(tbuild(['images', '--root', workspace.store, '-q']).stdout).not.toContain('base')
  }, 120_000)

  test('gives its layers to the image that stands on it', async () => {
    await opened(request(tools), async (base) => {
      const target = await only(base)
      const below = await target.image()
      const given = request('FROM base\nRUN echo more > /more\n', { buildContexts: { base: target } })
      const above = await opened(given, async (build) => (await only(build)).image())
      expect(above.layers.slice(0, below.layers.length)).toEqual(below.layers)
      expect(JSON.parse(Buffer.from(above.config).toString()).config).toMatchObject({
        Env: expect.arrayContaining(['TOOL=hammer']),
        WorkingDir: '/work',
      })
    })
  }, 120_000)

  test('is used by what has it until that is closed, also when its own build is closed before, and another process collects', async () => {
    const base = await open(request('FROM busybox\nRUN echo kept > /kept\n'))
    const build = await open(request('FROM base\nRUN cat /kept > /copy\n', { buildContexts: { base: await only(base) } }))
    await build.targets()
    await base.close()
    expect(tbuild([...pruneAll, workspace.store]).status).toBe(0)
    expect(await read(build, '/copy')).toBe('kept\n')
    await build.close()
  }, 120_000)

  test('of a closed build, or of one in another store, is refused', async () => {
    const closed = await opened(request('FROM busybox\nRUN echo c > /c\n'), only)
    const given = (base: BuildTarget) => request('FROM base\nRUN true\n', { buildContexts: { base } })
    await expect(opened(given(closed), (build) => build.evaluate())).rejects.toMatchObject({
      code: 'BUILD_CLOSED',
      message: 'failed to get build context base: the build is closed',
      span: { start: { line: 1 } },
    })
    const other = await openEngine({ root: workspace.path('other-store') })
    const { options, caller } = fromThisMachine(request('FROM busybox\nRUN echo elsewhere > /c\n'))
    const elsewhere = await only(await other.openBuild(options, caller))
    await expect(opened(given(elsewhere), (build) => build.evaluate())).rejects.toMatchObject({ code: 'CONTEXT_ELSEWHERE' })
    await other.close()
  }, 120_000)

  test('what is wrong with it is told as its own: the place in its Dockerfile', async () => {
    await opened(request('FROM busybox\nRUN true\nRUN exit 5\n'), async (base) => {
      const given = request('FROM base\nRUN true\n', { buildContexts: { base: await only(base) } })
      await expect(opened(given, (build) => build.evaluate())).rejects.toMatchObject({ code: 'RUN_FAILED', span: { start: { line: 3 } } })
    })
  }, 120_000)
})
