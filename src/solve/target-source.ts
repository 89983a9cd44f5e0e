import { errorOf, isTbuildError, TbuildError } from '../base/errors.ts'
import { unlessAborted } from '../base/unless-aborted.ts'
import type { BuildTarget, TargetImage } from '../build-options.ts'
import { TARGET_SCHEME } from '../context/named.ts'
import type { LayerCatalog } from '../layers/types.ts'
import type { ImageSource } from '../sources/image/types.ts'
import { asRemoteImage } from '../sources/layout/store-source.ts'

/** Targets of other open builds as images of this one, by the names of its contexts. */
export function targetSource(targets: ReadonlyMap<string, BuildTarget>, layers: Pick<LayerCatalog, 'where'>): ImageSource {
  return {
    async resolve(reference, platform, signal) {
      const name = reference.slice(TARGET_SCHEME.length)
      const image = await imageOf(name, targets, signal)
      // From here on they stay for this build, too, whatever becomes of the other.
      const states = await layers.where(image.layers.map(({ id }) => id))
      if ([...states.values()].includes('missing')) {
        throw new TbuildError(
          'CONTEXT_ELSEWHERE',
          `the target that is the build context ${name} was built in another store, or its build was closed`,
          {
            hint: 'open both builds in one engine, and close that of the context last',
          },
        )
      }
      return asRemoteImage(reference, { ...image, name: reference }, platform)
    },
  }
}

/** Its evaluation is another build's, and goes on without this one. */
async function imageOf(name: string, targets: ReadonlyMap<string, BuildTarget>, signal: AbortSignal | undefined): Promise<TargetImage> {
  const target = targets.get(name)
  if (target === undefined) throw new TbuildError('IMAGE_NOT_FOUND', `no build context ${name} is the target of another build`)
  try {
    return await unlessAborted(target.image(), signal)
  } catch (error) {
    const isEnded = isTbuildError(error) && ENDED.has(error.code)
    throw isEnded && signal?.aborted !== true ? errorOf(`failed to get build context ${name}`, error) : error
  }
}

/** What the other build's own end is called. */
const ENDED: ReadonlySet<string> = new Set(['BUILD_CLOSED', 'CANCELED'])
