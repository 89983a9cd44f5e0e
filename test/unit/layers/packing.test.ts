import { expect, test } from '@jest/globals'
import { sha256 } from '../../../src/base/digest.ts'
import { isOutdated, isOwnBlob, isPackedBy, type Packing, packingOf } from '../../../src/layers/packing.ts'
import type { Descriptor } from '../../../src/values/oci.ts'

const marked = (mark: string): Descriptor => ({
  mediaType: 'application/vnd.oci.image.layer.v1.tar+gzip',
  digest: sha256('a layer'),
  size: 1,
  annotations: { 'tbuild.gzip.level': mark },
})

test('a blob that zlib made is our own, and not what its level makes now', () => {
  for (let level = 0; level <= 9; level += 1) {
    const old = marked(`${level}`)
    const packing = packingOf({ compression: 'gzip', level }) as Packing
    expect([isOwnBlob(old), isPackedBy(old, packing), isPackedBy(marked(packing.mark), packing)]).toEqual([true, false, true])
  }
})

test('only a blob of an older packing is outdated', () => {
  const { annotations: _, ...original } = marked('')
  const zstd = (mark: string) => ({ ...original, annotations: { 'tbuild.zstd.level': mark } })
  const newestZstd = (packingOf({ compression: 'zstd' }) as Packing).mark
  const newest = (packingOf({ compression: 'gzip', level: 1 }) as Packing).mark
  const blobs = [
    marked('1'),
    marked('9'),
    marked('1:6'),
    zstd('3'),
    original,
    zstd(newestZstd),
    marked(newest),
    marked('999:1'),
    marked('?'),
  ]
  expect(blobs.map(isOutdated)).toEqual([true, true, true, true, false, false, false, false, false])
})
