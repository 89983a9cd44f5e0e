import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from '@jest/globals'
import { sha256 } from '../../src/base/digest.ts'
import { formatPlace } from '../../src/base/span.ts'
import { isTbuildError, TbuildError } from '../../src/base/errors.ts'
import type { ImageConfigFile } from '../../src/values/oci.ts'
import { parsePlatform } from '../../src/values/platform.ts'
import { parseStages } from '../../src/dockerfile/stages.ts'
import { lower } from '../../src/graph/lower.ts'
import type { LowerOptions } from '../../src/graph/lower-types.ts'
import { lowerOptions } from '../support/lower-options.ts'
import { printGraph } from '../support/print-graph.ts'

/**
 * test/corpus/plan/<rule>-<name>/: Dockerfile, and `plan`, what it lowers to or the error with its place. options.json may hold `target`, `buildArgs`,
 * `labels`, `platform`, `contexts` and `images`: configs of bases by reference. UPDATE_CORPUS=1 writes the plans anew.
 */
interface CaseOptions {
  target?: string
  platform?: string
  buildArgs?: Record<string, string>
  labels?: Record<string, string>
  noCacheFilter?: string[]
  contexts?: Record<string, string>
  images?: Record<string, Partial<ImageConfigFile>>
}

const folder = join(import.meta.dirname, 'plan')
const LAYER = sha256('layer')

test.each(readdirSync(folder).sort())('%s', async (name) => {
  const at = (file: string) => join(folder, name, file)
  const options = (existsSync(at('options.json')) ? JSON.parse(readFileSync(at('options.json'), 'utf8')) : {}) as CaseOptions
  const got = await plan(readFileSync(at('Dockerfile'), 'utf8'), options)
  if (process.env.UPDATE_CORPUS === '1') writeFileSync(at('plan'), got)
  expect(got).toBe(readFileSync(at('plan'), 'utf8'))
})

async function plan(text: string, options: CaseOptions): Promise<string> {
  try {
    return printGraph(await lower(parseStages({ name: 'Dockerfile', text }), optionsOf(options)))
  } catch (error) {
    if (!isTbuildError(error)) throw error
    return `${error.span === undefined ? '' : `${formatPlace(error.span)}: `}${error.code}: ${error.message}\n`
  }
}

function optionsOf(options: CaseOptions): LowerOptions {
  return lowerOptions({
    ...(options.platform === undefined ? {} : { platforms: { target: parsePlatform(options.platform) } }),
    target: options.target,
    buildArgs: new Map(Object.entries(options.buildArgs ?? {})),
    labels: options.labels ?? {},
    noCache: { stages: options.noCacheFilter ?? [] },
    from: {
    async resolveImage(reference, platform) {
      const known = options.images?.[reference]
      if (known === undefined) throw new TbuildError('IMAGE_NOT_FOUND', `${reference}: not found`)
      const configFile = { os: 'linux', architecture: 'amd64', rootfs: { type: 'layers', diff_ids: [LAYER] }, ...known } as ImageConfigFile
      return { name: `docker.io/library/${reference}`, digest: sha256(reference + JSON.stringify(platform)), platform, configFile }
    },
    namedContext(name) {
      const value = options.contexts?.[name]
      if (value === undefined) return undefined
      return value.startsWith('docker-image://') ? { kind: 'image', reference: value.slice(15) } : { kind: 'files', name }
    },
    },
  })
}
