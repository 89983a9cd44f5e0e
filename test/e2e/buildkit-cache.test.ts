import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals'
import { sha256 } from '../../src/base/digest.ts'
import { tbuild, tbuildAsync } from '../support/cli.ts'
import { type DifferentialCase, loadCases, materialize } from '../support/differential-case.ts'
import { startTestRegistry } from '../support/registry-server.ts'

/**
 * Builds from caches that docker 28.5 (BuildKit 0.25) wrote: recorded with their metadata and small layers, without the layer of the base. Both ways, with
 * docker itself: scripts/cache-peer.mjs.
 */
const cases = loadCases(join(import.meta.dirname, '../corpus/buildkit-cache')).map((one) => [one.name, one] as const)
let folder = ''
let stores = 0
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'tbuild-buildkit-cache-'))
})
afterEach(() => rmSync(folder, { recursive: true, force: true }))

interface Event {
  readonly type: string
  readonly id: string
  readonly name?: string
  readonly cached?: boolean
  readonly message?: string
  readonly rule?: string
}

function argumentsOf(one: DifferentialCase, context: string, more: readonly string[]): { args: string[]; store: string } {
  const store = join(folder, `store-${++stores}`)
  const base = [
    '--build-context',
    `busybox=oci-layout://${join(one.folder, 'recorded/base')}`,
    '--network',
    'host',
    '--progress',
    'rawjson',
  ]
  const own = (one.args ?? []).map((arg) => arg.replaceAll('{case}', context))
  return { args: ['build', '--root', store, ...base, ...own, ...more, context], store }
}

/** What ran, what was cached, and what else was said. */
function told(stderr: string) {
  const events = stderr
    .split('\n')
    .filter((line) => line.startsWith('{'))
    .map((line) => JSON.parse(line) as Event)
  const steps = events.filter(
    ({ type, name }) => type === 'vertex' && /^\[(?!internal|context)/.test(name ?? '') && !/\] FROM /.test(name ?? ''),
  )
  const isCached = (step: Event) => events.some(({ type, id, cached }) => type === 'done' && id === step.id && cached)
  return {
    steps: steps.length,
    ran: steps.filter((step) => !isCached(step)).map(({ name }) => name),
    said: events
      .filter(({ type, rule }) => (type === 'warning' && rule?.startsWith('Cache')) || type === 'notice')
      .map(({ message }) => message),
  }
}

const recordedCache = (one: DifferentialCase) => join(one.folder, 'recorded/cache')
const blobOf = (one: DifferentialCase, digest: string) => readFileSync(join(recordedCache(one), 'blobs/sha256', digest.slice(7)))
const manifestOf = (one: DifferentialCase) => {
  const { digest } = JSON.parse(readFileSync(join(recordedCache(one), 'index.json'), 'utf8')).manifests[0]
  return blobOf(one, digest)
}

describe.each(cases)('%s', (_name, one) => {
  test('a directory: no step runs, no layer is unpacked', () => {
    const context = materialize(one)
    const { args, store } = argumentsOf(one, context, ['--cache-from', `type=local,src=${recordedCache(one)}`])
    const { status, stderr } = tbuild(args)
    rmSync(context, { recursive: true, force: true })
    expect([status, told(stderr).ran, told(stderr).said]).toEqual([0, [], []])
    expect(told(stderr).steps).toBeGreaterThan(10)
    expect(readdirSync(join(store, 'v1/layers')).filter((name) => !name.endsWith('.json'))).toEqual([])
  }, 60_000)

  test.each(['image manifest', 'list of layers'])(
    'a registry, %s: only metadata is fetched',
    async (form) => {
      const registry = await startTestRegistry()
      const context = materialize(one)
      try {
        const manifest = JSON.parse(manifestOf(one).toString())
        registry.blobs.set(manifest.config.digest, blobOf(one, manifest.config.digest))
        const mediaType = form === 'image manifest' ? manifest.mediaType : 'application/vnd.oci.image.index.v1+json'
        const list = { schemaVersion: 2, mediaType, manifests: [...manifest.layers, manifest.config] }
        const bytes = Buffer.from(JSON.stringify(form === 'image manifest' ? manifest : list))
        registry.addDocument('app', { mediaType, bytes, digest: sha256(bytes) }, 'cache')
        const { args } = argumentsOf(one, context, ['--cache-from', `type=registry,ref=${registry.host}/app:cache`])
        const { status, stderr } = await tbuildAsync(args)
        expect([status, told(stderr).ran, told(stderr).said]).toEqual([0, [], []])
        const blobs = registry.requests.filter(({ path }) => path.includes('/blobs/')).map(({ path }) => path)
        expect(blobs).toEqual([`/v2/app/blobs/${manifest.config.digest}`])
      } finally {
        await registry.close()
        rmSync(context, { recursive: true, force: true })
      }
    },
    60_000,
  )

  test('a changed last instruction: what is before it is cached', () => {
    const context = materialize(one)
    const file = join(folder, 'Dockerfile')
    if (existsSync(join(context, '.dockerignore'))) writeFileSync(`${file}.dockerignore`, readFileSync(join(context, '.dockerignore')))
    writeFileSync(file, `${readFileSync(join(context, 'Dockerfile'), 'utf8').trimEnd()}\nUSER root\nRUN more\n`)
    const dry = ['--cache-from', `type=local,src=${recordedCache(one)}`, '-f', file]
    const { args } = argumentsOf(one, context, dry)
    const { stdout, stderr } = tbuild(['explain', '--format', 'json', ...args.slice(1)])
    rmSync(context, { recursive: true, force: true })
    const missed = JSON.parse(stdout || '{}')
    const states = (missed.steps ?? missed).map(({ name, state }: { name: string; state: string }) => [state, name])
    expect([
      states.filter(([state]: [string]) => state !== 'hit').map(([, name]: [string, string]) => name),
      stderr.includes('rror'),
    ]).toEqual([[expect.stringContaining('RUN more')], false])
  }, 60_000)
})
