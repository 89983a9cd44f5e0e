import { beforeEach, describe, expect, test } from '@jest/globals'
import { sha256 } from '../../../src/base/digest.ts'
import { TbuildError } from '../../../src/base/errors.ts'
import type { BuildTarget, TargetImage } from '../../../src/build-options.ts'
import { targetSource } from '../../../src/solve/target-source.ts'
import type { LayerId, LayerState } from '../../../src/store/types.ts'

const never = new AbortController().signal
const platform = { os: 'linux', architecture: 'amd64' }
const layers = ['a', 'b'].map((name) => ({ id: name.repeat(32) as LayerId, diffId: sha256(name) }))
const file = { ...platform, config: { Env: ['A=1'] }, rootfs: { type: 'layers', diff_ids: layers.map(({ diffId }) => diffId) } }
const config = Buffer.from(JSON.stringify(file))
const image: TargetImage = { config, configDigest: sha256(config), layers }

/** Counts what it is asked. */
class FakeTarget implements BuildTarget {
  readonly platform = platform
  readonly stage = 'app'
  readonly config = {}
  images = 0
  error: Error | undefined
  /** As long as it takes to evaluate it. */
  evaluated: Promise<void> | undefined

  async image(): Promise<TargetImage> {
    this.images += 1
    await this.evaluated
    if (this.error !== undefined) throw this.error
    return image
  }
}

describe('targets of other builds as images', () => {
  let target: FakeTarget
  const asked: (readonly LayerId[])[] = []
  const states = new Map<LayerId, LayerState>()
  beforeEach(() => {
    target = new FakeTarget()
    asked.length = 0
    for (const { id } of layers) states.set(id, 'directory')
  })
  const source = () =>
    targetSource(new Map([['base', target]]), {
      async where(ids) {
        asked.push(ids)
        return states
      },
    })

  test('one is evaluated once for a question, and its layers are claimed', async () => {
    const found = await source().resolve('target://base', platform, never)
    expect(found).toMatchObject({ name: 'target://base', platform, configFile: { config: { Env: ['A=1'] } } })
    expect(found.layerIds).toEqual(layers.map(({ id }) => id))
    expect([target.images, asked]).toEqual([1, [found.layerIds]])
  })

  test('the same image has the same digest, whatever the context is called', async () => {
    const two = targetSource(new Map([['other', target]]), { where: async () => states })
    const digests = [await source().resolve('target://base', platform, never), await two.resolve('target://other', platform, never)]
    expect(digests[0]?.manifestDigest).toBe(digests[1]?.manifestDigest)
  })

  test('layers that the store does not have, another platform, an unknown name', async () => {
    await expect(source().resolve('target://base', { os: 'linux', architecture: 's390x' }, never)).rejects.toMatchObject({
      code: 'PLATFORM_NOT_FOUND',
    })
    await expect(source().resolve('target://none', platform, never)).rejects.toMatchObject({ code: 'IMAGE_NOT_FOUND' })
    states.set(layers[1]?.id as LayerId, 'missing')
    await expect(source().resolve('target://base', platform, never)).rejects.toMatchObject({ code: 'CONTEXT_ELSEWHERE' })
  })

  test('what is wrong with it is its own error; that it is closed says which context it is', async () => {
    target.error = new TbuildError('RUN_FAILED', 'as it is')
    await expect(source().resolve('target://base', platform, never)).rejects.toBe(target.error)
    target.error = new TbuildError('BUILD_CLOSED', 'the build is closed')
    await expect(source().resolve('target://base', platform, never)).rejects.toMatchObject({
      code: 'BUILD_CLOSED',
      message: 'failed to get build context base: the build is closed',
    })
    expect(asked).toEqual([])
    target.error = new TbuildError('CANCELED', 'the build was canceled')
    await expect(source().resolve('target://base', platform, never)).rejects.toMatchObject({
      code: 'CANCELED',
      message: 'failed to get build context base: the build was canceled',
    })
  })

  test('who is canceled does not wait until another build is done', async () => {
    target.evaluated = new Promise(() => {})
    const canceled = new AbortController()
    const resolved = source().resolve('target://base', platform, canceled.signal)
    canceled.abort()
    await expect(resolved).rejects.toBe(canceled.signal.reason)
    await expect(source().resolve('target://base', platform, canceled.signal)).rejects.toBe(canceled.signal.reason)
  })
})
