import { expect, test } from '@jest/globals'
import type { OutputSpec } from '../../../src/build-options.ts'
import { wantedBy } from '../../../src/export/outputs.ts'

const oci = { type: 'oci', dest: 'a.tar', tar: true } as const satisfies OutputSpec
const docker = { type: 'docker', dest: 'b.tar' } as const satisfies OutputSpec
const pushed = { type: 'image', push: true } as const satisfies OutputSpec
const gzip = { compression: 'gzip' }

test.each<[string, readonly OutputSpec[], object | undefined, boolean]>([
  ['nothing', [], undefined, false],
  ['an image in the store', [{ type: 'image', push: false }], undefined, false],
  ['an archive', [oci], gzip, false],
  ['a push', [pushed], gzip, false],
  ['the first of two', [{ ...oci, compression: 'zstd', compressionLevel: 3 }, pushed], { compression: 'zstd', level: 3 }, false],
  ['docker’s archive, whose layers are kept by nobody', [docker], undefined, false],
  ['what is kept, behind what is not', [docker, oci], gzip, false],
  ['docker’s archive of blobs', [{ ...docker, compression: 'gzip' }], gzip, false],
  ['layers with other times', [{ ...oci, rewriteTimestamp: true }], undefined, false],
  ['files', [{ type: 'local', dest: 'c' }], undefined, true],
  ['files and blobs', [oci, { type: 'tar', dest: 'd.tar' }], gzip, true],
])('what outputs want of layers: %s', (_, outputs, form, readsFiles) => {
  expect(wantedBy(outputs)).toEqual({ form, readsFiles })
})
