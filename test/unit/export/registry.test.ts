import { randomBytes } from 'node:crypto'
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals'
import { sha256 } from '../../../src/base/digest.ts'
import { exportToRegistry } from '../../../src/export/registry.ts'
import type { Image } from '../../../src/image/types.ts'
import type { Layer } from '../../../src/layers/types.ts'
import { Registries } from '../../../src/sources/registry/open.ts'
import type { LayerId } from '../../../src/store/types.ts'
import { ThisMachine } from '../../../src/this-machine/this-machine.ts'
import { MediaType } from '../../../src/values/oci.ts'
import { parsePlatform } from '../../../src/values/platform.ts'
import { startTestRegistry, type TestRegistry } from '../../support/registry-server.ts'

let registry: TestRegistry
let registries: Registries
beforeEach(async () => {
  registry = await startTestRegistry()
  registries = new Registries(new ThisMachine({ environment: {} }))
})
afterEach(async () => {
  await registries.close()
  await registry.close()
})

/** A layer of a mebibyte; `interrupt` is awaited in its middle. */
function layer(interrupt: () => Promise<void>): Layer {
  const [one, other] = [randomBytes(2 ** 19), randomBytes(2 ** 19)]
  const digest = sha256(Buffer.concat([one, other]))
  async function* open(): AsyncGenerator<Uint8Array> {
    yield one
    await interrupt()
    yield other
  }
  const descriptor = { mediaType: MediaType.ociLayer, digest, size: 2 ** 20 }
  return {
    id: digest.slice('sha256:'.length) as LayerId,
    diffId: digest,
    created: undefined,
    tar: open,
    blob: async () => ({ descriptor, open }),
  }
}

function image(layers: readonly Layer[]): Image {
  const config = Buffer.from('{}')
  const configFile = {
    architecture: 'amd64',
    os: 'linux',
    rootfs: { type: 'layers', diff_ids: layers.map(({ diffId }) => diffId) },
  } as const
  return { platform: parsePlatform('linux/amd64'), config, configDigest: sha256(config), configFile: configFile as never, layers }
}

const push = (layers: readonly Layer[], signal = new AbortController().signal) =>
  exportToRegistry([image(layers)], { names: [`${registry.host}/app:1`], registries, signal })

describe('a push that ends early says why', () => {
  test('by an error of the disk, which is none of the network, whichever upload is heard first', async () => {
    const broken = layer(async () => {
      await new Promise((resolve) => setTimeout(resolve, 50))
      throw Object.assign(new Error('EIO: i/o error, read'), { code: 'EIO' })
    })
    const endless = () => layer(() => new Promise(() => {}))
    await expect(push([endless(), broken, endless()])).rejects.toMatchObject({ code: 'EIO' })
    expect(registry.documents.size).toBe(0)
  })

  test('by its caller', async () => {
    const stop = new AbortController()
    const stopping = layer(async () => {
      stop.abort(new Error('stopped'))
      await new Promise(() => {})
    })
    await expect(push([stopping], stop.signal)).rejects.toThrow('stopped')
  })
})
