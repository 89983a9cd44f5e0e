import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { chdir, cwd } from 'node:process'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, afterEach, beforeAll, describe, expect, test } from '@jest/globals'
import type { BuildEvent, Progress } from '../../src/base/events.ts'
import type { BuildResult, OutputSpec, ResolvedOptions } from '../../src/build-options.ts'
import type { Agent, Caller, CallerDirectory, DirectorySink, NoDirectory, Sink, SinkTarget, Wanted } from '../../src/caller/caller.ts'
import type { HostCredentials } from '../../src/caller/credentials.ts'
import { type Engine, openEngine } from '../../src/engine/engine.ts'
import { script } from '../support/cli.ts'
import { makeImage } from '../support/oci-image.ts'
import { startTestRegistry, type TestRegistry } from '../support/registry-server.ts'
import { openWorkspace, type Workspace } from '../support/workspace.ts'

/** Builds for somebody who is not this machine: a client that has its files in memory, and counts what it is asked. */
let workspace: Workspace
let layout = ''
let engine: Engine
const before = { directory: cwd(), config: process.env.DOCKER_CONFIG }
beforeAll(async () => {
  workspace = openWorkspace()
  layout = script('busybox-layout.mjs').stdout.trim()
  engine = await openEngine({ root: workspace.store })
  // Whoever looks at the process finds a wrong place and a wrong login.
  chdir('/')
  process.env.DOCKER_CONFIG = '/nowhere'
}, 300_000)
afterAll(async () => {
  chdir(before.directory)
  if (before.config === undefined) delete process.env.DOCKER_CONFIG
  else process.env.DOCKER_CONFIG = before.config
  await engine.close()
  workspace.remove()
}, 120_000)

type Files = Readonly<Record<string, string>>
const NONE: Files = {}

class Client implements Caller {
  readonly asked: string[] = []
  readonly events: BuildEvent[] = []
  readonly environment = { HOME: '/nowhere' }
  readonly stdin = undefined
  readonly progress: Progress = { onEvent: (event) => this.events.push(event), signal: new AbortController().signal }
  readonly outputs = new Map<string, Output>()
  /** Files of `directory`, each time that it was asked for. */
  readonly sent: string[][] = []
  readonly #files: Files
  readonly #more: { readonly secrets: Files; readonly logins: Files; readonly takes: (chunk: number) => Promise<void> }

  constructor(files: Files, { secrets = NONE, logins = NONE, takes = async (_chunk: number) => {} } = {}) {
    this.#files = files
    this.#more = { secrets, logins, takes }
  }

  get workingDirectory(): string {
    throw new Error('a client elsewhere has none here')
  }

  async directory(name: string, { paths }: Wanted): Promise<CallerDirectory | NoDirectory> {
    if (name === 'layout') return { path: layout, identity: layout }
    if (name !== 'app') return 'missing'
    const isWanted = (file: string) =>
      paths?.map((path) => path.replace(/^\//, '')).some((path) => `${file}/`.startsWith(`${path}/`)) !== false
    const files = Object.entries(this.#files).filter(([file]) => isWanted(file))
    this.sent.push(files.map(([file]) => file))
    const path = mkdtempSync(workspace.path('client-'))
    for (const [file, text] of files) {
      mkdirSync(dirname(join(path, file)), { recursive: true })
      writeFileSync(join(path, file), text)
    }
    return { path, identity: 'client 1: app' }
  }

  async file(): Promise<undefined> {
    throw new Error('nothing outside of the context is named')
  }

  async sink(target: SinkTarget): Promise<Sink> {
    if (target.kind === 'docker') throw new Error('no docker')
    const output = new Output(this.#more.takes)
    this.outputs.set(target.name, output)
    return output
  }

  async renewed(): Promise<undefined> {
    throw new Error('no output of this client has a mark')
  }

  async directorySink(name: string): Promise<DirectorySink> {
    const output = new Output(this.#more.takes, mkdtempSync(workspace.path('output-')))
    this.outputs.set(name, output)
    return output
  }

  async secret(id: string): Promise<Uint8Array | undefined> {
    this.asked.push(`secret ${id}`)
    const text = this.#more.secrets[id]
    return text === undefined ? undefined : Buffer.from(text)
  }

  async agent(id: string | undefined): Promise<Agent | undefined> {
    this.asked.push(`agent ${id}`)
    return { connect: () => Promise.reject(new Error('nobody asks for keys')) }
  }

  async credentials(host: string): Promise<HostCredentials> {
    this.asked.push(`credentials ${host}`)
    const password = this.#more.logins[host]
    const logins = password === undefined ? [] : [{ namespace: '', login: { username: 'ann', password, source: 'the client' } }]
    return { logins, notes: [] }
  }
}

class Output implements Sink, DirectorySink {
  readonly told: string[] = []
  readonly chunks: Buffer[] = []
  readonly path: string
  readonly #takes: (chunk: number) => Promise<void>
  #isBusy = false

  constructor(takes: (chunk: number) => Promise<void>, path = '') {
    this.#takes = takes
    this.path = path
  }

  readonly write = async (data: Uint8Array): Promise<void> => {
    if (this.#isBusy) throw new Error('it was not waited for')
    this.#isBusy = true
    this.chunks.push(Buffer.from(data))
    await this.#takes(this.chunks.length)
    this.#isBusy = false
  }

  async commit(): Promise<void> {
    this.told.push(this.#isBusy ? 'commit before it was taken' : 'commit')
  }

  async abort(reason: unknown): Promise<void> {
    this.told.push(`abort: ${(reason as Error).message}`)
    if (this.path !== '') rmSync(this.path, { recursive: true })
  }
}

async function build(client: Client, more: Partial<ResolvedOptions> = {}, outputs: readonly OutputSpec[] = []): Promise<BuildResult> {
  const options = {
    context: 'app',
    buildContexts: { busybox: 'oci-layout://layout' },
    buildArgs: {},
    secrets: [],
    agents: [],
    root: workspace.store,
  }
  const open = await engine.openBuild({ ...options, ...more }, client)
  try {
    return await open.export(outputs)
  } finally {
    await open.close()
  }
}

describe('a client elsewhere', () => {
  test('is asked for its files, first for what finds the Dockerfile, then for what instructions read', async () => {
    const client = new Client({
      Dockerfile: 'FROM busybox\nCOPY a d /x/\n',
      a: '1',
      'd/b': '2',
      unread: '3',
      '.dockerignore': 'd/c\n',
      'd/c': '4',
    })
    await build(client, {}, [{ type: 'local', dest: 'out' }])
    expect(client.sent).toEqual([
      ['Dockerfile', '.dockerignore'],
      ['a', 'd/b', 'd/c'],
    ])
    const out = client.outputs.get('out')
    expect(out?.told).toEqual(['commit'])
    expect(readFileSync(join(out?.path ?? '', 'x/b'), 'utf8')).toBe('2')
    expect(client.asked).toEqual([])
  })

  test('that has the same files is given the same steps', async () => {
    const files = { Dockerfile: 'FROM busybox\nCOPY same /\nRUN cat same\n', same: 'same' }
    const steps = [await build(new Client(files)), await build(new Client(files))].map(({ steps: { cached } }) => cached)
    expect(steps).toEqual([0, 2])
  })

  test('gives a secret to the RUN that asks, and to none that is cached; an agent is looked at first', async () => {
    const dockerfile =
      'FROM busybox\nRUN --mount=type=secret,id=s --mount=type=ssh test "$(cat /run/secrets/s)" = hidden && test -S "$SSH_AUTH_SOCK"\n'
    const client = new Client({ Dockerfile: dockerfile }, { secrets: { s: 'hidden', other: 'x' } })
    await build(client, { agents: ['default'] })
    expect(client.asked).toEqual(['agent default', 'secret s', 'agent default'])
    client.asked.length = 0
    await build(client)
    expect(client.asked).toEqual([])
  })

  test('without such a directory is told so', async () => {
    await expect(build(new Client({}), { context: 'other' })).rejects.toMatchObject({ code: 'CONTEXT_NOT_FOUND' })
    await expect(build(new Client({ Dockerfile: 'FROM busybox' }), { buildContexts: { named: 'other' } })).rejects.toMatchObject({
      code: 'CONTEXT_NOT_FOUND',
    })
    await expect(build(new Client({ Dockerfile: 'FROM busybox' }), { context: '-' })).rejects.toMatchObject({ code: 'STDIN_MISSING' })
  })
})

describe('credentials of a client', () => {
  let registry: TestRegistry
  afterEach(() => registry.close())

  test('are asked for once a host: for a pull, a push, caches and copies', async () => {
    registry = await startTestRegistry({ auth: 'basic', users: { ann: 'secret' } })
    for (const repository of ['team/app', 'other/app']) registry.addImage(repository, makeImage({ layers: ['one'] }), 'v1')
    const { host } = registry
    const client = new Client(
      { Dockerfile: `FROM ${host}/other/app:v1 AS other\nFROM ${host}/team/app:v1\nLABEL a=1\n` },
      { logins: { [host]: 'secret' } },
    )
    const cache = [{ type: 'registry', ref: `${host}/team/cache:1` }] as const
    const options = { tags: [`${host}/team/new:1`], cacheFrom: cache, cacheTo: cache }
    await build(client, options, [{ type: 'image', push: true }])
    await build(client, { target: 'other' })
    expect([...registry.documents.keys()]).toEqual(expect.arrayContaining(['team/new:1', 'team/cache:1']))
    expect(client.asked).toEqual([`credentials ${host}`, `credentials ${host}`])
  })

  test('a client that has none is refused, whatever this machine has', async () => {
    registry = await startTestRegistry({ auth: 'basic', users: { ann: 'secret' } })
    registry.addImage('team/app', makeImage({ layers: ['one'] }), 'v1')
    const client = new Client({ Dockerfile: `FROM ${registry.host}/team/app:v1\n` })
    await expect(build(client)).rejects.toMatchObject({ code: 'REGISTRY_DENIED' })
    expect(client.asked).toEqual([`credentials ${registry.host}`])
  })
})

describe('outputs of a client', () => {
  const files = { Dockerfile: 'FROM busybox\nLABEL outputs=1\n' }
  const archives: readonly OutputSpec[] = [
    { type: 'oci', dest: 'o', tar: true },
    { type: 'docker', dest: 'd' },
    { type: 'tar', dest: 't' },
  ]

  test.each(archives)('%j is taken as slowly as it likes, and then it is whole', async (output) => {
    const client = new Client(files, { takes: (chunk) => sleep(chunk < 20 ? 5 : 0) })
    await build(client, {}, [output])
    const [taken] = client.outputs.values()
    expect(taken?.told).toEqual(['commit'])
    expect(Buffer.concat(taken?.chunks ?? []).length).toBeGreaterThan(100_000)
  })

  test.each(archives)('%j that it cannot take fails the build, and it is told to leave nothing', async (output) => {
    const takes = async (chunk: number) => {
      if (chunk === 3) throw new Error('the client is full')
    }
    const client = new Client(files, { takes })
    await expect(build(client, {}, [output])).rejects.toThrow('the client is full')
    expect([...client.outputs.values()].map(({ told, chunks }) => [told, chunks.length])).toEqual([[['abort: the client is full'], 3]])
  })
})
