import { expect, test } from '@jest/globals'
import { sha256 } from '../../../src/base/digest.ts'
import { isOwnBlob, isPackedBy, type Packing, packingOf } from '../../../src/layers/packing.ts'
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
