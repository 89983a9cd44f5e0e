import { TbuildError } from '../base/errors.ts'
import type { Annotation, OutputSpec, ResolvedOptions } from '../build-options.ts'
import { parseGoBool } from '../go/bool.ts'
import { formatPlatform, type Platform } from '../values/platform.ts'

/** What outputs read of a build's options. */
export type OutputOptions = Pick<ResolvedOptions, 'outputs' | 'annotations' | 'platforms' | 'buildArgs'>

type ImageSpec = Extract<OutputSpec, { readonly type: 'oci' | 'docker' | 'image' }>

/** Several platforms make an index; the build argument BUILDKIT_MULTI_PLATFORM makes one of a single platform, too. */
export function makesIndex({ buildArgs, platforms = [] }: Pick<OutputOptions, 'buildArgs' | 'platforms'>): boolean {
  return platforms.length > 1 || parseGoBool(buildArgs.BUILDKIT_MULTI_PLATFORM ?? '') === true
}

/** Refuses what no exporter does, before anything is built. `names` are the references of `-t`. */
export function checkOutputs(options: OutputOptions, platforms: readonly Platform[], names: readonly string[]): void {
  const index = makesIndex(options)
  for (const output of options.outputs ?? []) {
    if (output.type !== 'oci' && output.type !== 'docker' && output.type !== 'image') continue
    checkForm(output)
    checkAnnotations([...(output.annotations ?? []), ...(options.annotations ?? [])], output, platforms, index)
    if (output.type === 'docker' && index) {
      throw new TbuildError('EXPORT_MULTI_PLATFORM', 'a docker archive holds one platform', {
        hint: 'use -o type=oci for an image of several platforms',
      })
    }
    if (output.type === 'image') checkImage(output, names)
  }
}

function checkForm({ compression, compressionLevel, ociMediaTypes }: ImageSpec): void {
  if (compression === 'zstd' && ociMediaTypes === false) throw conflict('compression=zstd', 'oci-mediatypes=false')
  if (compression === 'uncompressed' && compressionLevel !== undefined) throw conflict('compression=uncompressed', 'compression-level')
}

function checkImage(output: Extract<OutputSpec, { type: 'image' }>, names: readonly string[]): void {
  if (output.push && output.name === undefined && names.length === 0) {
    throw new TbuildError('PUSH_NAME_MISSING', 'tag is needed when pushing to registry', { hint: 'add -t REGISTRY/NAME:TAG', exitCode: 2 })
  }
  if (output.push) return
  if (output.pushByDigest === true) throw conflict('push-by-digest=true', 'push=false')
  if (output.rewriteTimestamp === true) {
    throw new TbuildError('OUTPUT_CONFLICT', 'rewrite-timestamp changes what leaves the store, and this output keeps the image there', {
      hint: 'add push=true, or use -o type=oci or type=docker',
      exitCode: 2,
    })
  }
}

/** The messages are BuildKit's. */
function checkAnnotations(annotations: readonly Annotation[], output: ImageSpec, platforms: readonly Platform[], index: boolean): void {
  const built = platforms.map(formatPlatform)
  for (const { level, platform } of annotations) {
    if (platform !== undefined && !built.includes(formatPlatform(platform))) {
      throw new TbuildError('ANNOTATION_PLATFORM', `invalid annotation: no platform ${formatPlatform(platform)} found in source`, {
        exitCode: 2,
      })
    }
    if (level.startsWith('index') && !index) {
      throw new TbuildError('ANNOTATION_INDEX', 'index annotations not supported for single platform export', {
        hint: 'annotate the manifest',
        exitCode: 2,
      })
    }
    if (output.ociMediaTypes === false) throw conflict(`an annotation of the ${level}`, 'oci-mediatypes=false')
  }
}

function conflict(one: string, other: string): TbuildError {
  return new TbuildError('OUTPUT_CONFLICT', `--output: ${one} conflicts with ${other}`, { exitCode: 2 })
}
