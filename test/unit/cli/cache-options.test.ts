import { describe, expect, test } from '@jest/globals'
import { cacheFrom, cacheTo } from '../../../src/cli/options/cache.ts'

const REF = 'registry.example/app:cache'

describe('--cache-from', () => {
  test.each([
    [REF, { type: 'registry', ref: REF }],
    [`type=registry,ref=${REF}`, { type: 'registry', ref: REF }],
    ['type=local,src=a/b', { type: 'local', src: 'a/b' }],
    ['type=local,src=a,tag=x', { type: 'local', src: 'a', tag: 'x' }],
    [`type=local,src=a,digest=sha256:${'0'.repeat(64)}`, { type: 'local', src: 'a', digest: `sha256:${'0'.repeat(64)}` }],
    [`type=registry,ref=${REF},registry.insecure=true`, { type: 'registry', ref: REF, insecure: true }],
  ])('%s', (text, spec) => {
    expect(cacheFrom(text)).toEqual([spec])
  })
})

describe('--cache-to', () => {
  test.each([
    [REF, { type: 'registry', ref: REF }],
    [`type=registry,ref=${REF},mode=max,ignore-error=true`, { type: 'registry', ref: REF, mode: 'max', ignoreError: true }],
    [
      `type=registry,ref=${REF},image-manifest=false,oci-mediatypes=false,compression=gzip`,
      { type: 'registry', ref: REF, imageManifest: false, ociMediaTypes: false, compression: 'gzip' },
    ],
    [
      'type=local,dest=a,tag=t,compression=zstd,compression-level=9,force-compression=true',
      { type: 'local', dest: 'a', tag: 't', compression: 'zstd', compressionLevel: 9, forceCompression: true },
    ],
    ['type=local,dest=a/b,mode=min,ignore-error=false', { type: 'local', dest: 'a/b', mode: 'min' }],
    ['type=inline', { type: 'inline' }],
    ['type=inline,mode=min', { type: 'inline' }],
  ])('%s', (text, spec) => {
    expect(cacheTo(text)).toEqual([spec])
  })
})

test.each([
  [cacheFrom, 'type=local', '--cache-from needs src=DIR'],
  [cacheFrom, 'type=registry', '--cache-from needs ref=REF'],
  [cacheFrom, 'type=gha', '--cache-from type=gha is not supported'],
  [cacheFrom, 'type=locale,src=a', 'unknown --cache-from type "locale" (did you mean local?)'],
  [cacheFrom, 'type=local,src=a,digest=latest', 'invalid digest'],
  [cacheFrom, 'type=registry,ref=a,tag=x', 'unknown key "tag" of --cache-from type=registry'],
  [cacheFrom, 'a.b/UPPER', 'failed to parse image name "a.b/UPPER"'],
  [cacheTo, 'type=inline,mode=max', 'mode=max of --cache-to type=inline is not supported'],
  [cacheTo, 'type=local,dest=a,mode=all', 'invalid --cache-to mode "all": expected min or max'],
  [cacheTo, 'type=local,dest=a,compression=estargz', 'compression "estargz" is not supported'],
  [cacheTo, 'type=local,dest=a,reset=true', 'key reset of --cache-to type=local is not supported'],
  [cacheTo, 'type=local,dest=a,image-manifest=true,oci-mediatypes=false', '--cache-to: image-manifest=true needs oci-mediatypes=true'],
  [cacheTo, 'type=inline,compression=gzip', 'unknown key "compression" of --cache-to type=inline'],
  [cacheTo, 'type=local,dst=a', '--cache-to needs dest=DIR'],
  [cacheTo, 'type=local,dest=a,mod=max', 'unknown key "mod" of --cache-to type=local (did you mean mode?)'],
  [cacheTo, 'type=registry,ref=a,registry.insecur=true', /unknown key .* \(did you mean registry\.insecure\?\)$/],
  [cacheTo, 'type=registry,ref=a,tags=z', /^unknown key "tags" of --cache-to type=registry$/],
  [cacheTo, 'type=inline,ignore-errors=true', /unknown key .* \(did you mean ignore-error\?\)$/],
  [cacheTo, 'type=inline,compressio=gzip', /^unknown key "compressio" of --cache-to type=inline$/],
  [cacheTo, 'type=local,dest=a,ignore-error=maybe', '--cache-to: ignore-error must be true or false, not "maybe"'],
  [cacheTo, `${REF}@sha256:${'0'.repeat(64)}`, '--cache-to cannot write to a digest'],
  [cacheTo, 'type=s3,bucket=b', '--cache-to type=s3 is not supported'],
])('%p %s is refused', (parse, text, message) => {
  expect(() => parse(text)).toThrow(message)
})
