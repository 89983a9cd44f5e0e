import { readdirSync, readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import type { Digest } from '../../../src/base/digest.ts'
import { SharedWork } from '../../../src/base/shared-work.ts'
import { parseCacheConfig } from '../../../src/cache/buildkit/cache-config.ts'
import { contentDigest } from '../../../src/cache/buildkit/content-hash.ts'
import { NodeGraph } from '../../../src/cache/buildkit/nodes.ts'
import { type ContentOf, type FoundNodes, RecordGraph } from '../../../src/cache/buildkit/record-graph.ts'
import { ulimit } from '../../../src/cli/options/limits.ts'
import { extraHosts } from '../../../src/cli/options/network.ts'
import { IgnoreMatcher } from '../../../src/dockerfile/dockerignore.ts'
import { parseStages } from '../../../src/dockerfile/stages.ts'
import { lower } from '../../../src/graph/lower.ts'
import type { LowerOptions } from '../../../src/graph/lower-types.ts'
import { directoryView } from '../../../src/tree/view.ts'
import type { ImageConfigFile } from '../../../src/values/oci.ts'
import { parsePlatform } from '../../../src/values/platform.ts'
import { processSettings } from '../../../src/values/process-settings.ts'
import { type DifferentialCase, loadCases, materialize } from '../../support/differential-case.ts'
import { lowerOptions } from '../../support/lower-options.ts'

/** Caches that docker 28.5 (BuildKit 0.25) wrote of the Dockerfiles beside them; `node scripts/cache-peer.mjs record` writes them anew. */
const AMD64 = parsePlatform('linux/amd64')

function layout(one: DifferentialCase, name: string) {
  const folder = join(one.folder, 'recorded', name)
  const blob = (digest: string) => JSON.parse(readFileSync(join(folder, 'blobs/sha256', digest.slice(7)), 'utf8'))
  const { digest } = JSON.parse(readFileSync(join(folder, 'index.json'), 'utf8')).manifests[0] as { digest: Digest }
  const config = blob(digest).config.digest as Digest
  return { digest, config: blob(config) as unknown, bytes: readFileSync(join(folder, 'blobs/sha256', config.slice(7))) }
}

function optionsOf(one: DifferentialCase): LowerOptions {
  const base = layout(one, 'base')
  const values = (name: string) => (one.args ?? []).filter((_arg, index, all) => all[index - 1] === name)
  const settings = processSettings({
    extraHosts: extraHosts(values('--add-host')),
    ulimits: values('--ulimit').map(ulimit),
    shmSize: values('--shm-size').length === 0 ? undefined : 32 << 20,
  })
  const image = { name: 'busybox', digest: base.digest, platform: AMD64, configFile: base.config as ImageConfigFile }
  return lowerOptions({ run: { network: 'host', settings }, from: { resolveImage: async () => image } })
}

test.each(loadCases(join(import.meta.dirname, '../../corpus/buildkit-cache')).map((one) => [one.name, one] as const))(
  '%s: each step is found in the cache that docker wrote',
  async (_name, one) => {
    const context = materialize(one)
    try {
      const { vertices } = await lower(
        parseStages({ name: 'Dockerfile', text: readFileSync(join(context, 'Dockerfile'), 'utf8') }),
        optionsOf(one),
      )
      const { digest, config } = layout(one, 'base')
      const diffIds = (config as ImageConfigFile).rootfs.diff_ids
      const refuse = () => Promise.reject(new Error('no such source here'))
      const nodes = new NodeGraph({ image: () => ({ resolved: digest, diffIds }), file: refuse, commit: refuse })
      const ignore = readdirSync(context).includes('.dockerignore') ? readFileSync(join(context, '.dockerignore')) : Buffer.of()
      const view = directoryView(context, { ignore: IgnoreMatcher.parse('.dockerignore', ignore) })
      const contentOf: ContentOf = async ({ source, selections }) =>
        source.op.kind === 'context' ? contentDigest(view, selections, { sent: true }) : undefined
      const graph = new RecordGraph(parseCacheConfig(layout(one, 'cache').bytes))
      const known: FoundNodes = new SharedWork()
      for (const vertex of vertices) {
        const { whole, layer } = await nodes.of(vertex)
        if (whole === null || whole.records.length === 0) continue
        const steps = await Promise.all([whole, layer ?? whole].map((node) => graph.find(node, contentOf, known)))
        expect([vertex.name, steps.map((found) => found.length > 0)]).toEqual([vertex.name, [true, true]])
      }
    } finally {
      rmSync(context, { recursive: true, force: true })
    }
  },
)
