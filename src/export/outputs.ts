import type { Json } from '../base/canonical-json.ts'
import { destinationError } from '../base/destination-error.ts'
import type { OnEvent, Progress } from '../base/events.ts'
import { runVertex } from '../base/run-vertex.ts'
import type { OutputSpec } from '../build-options.ts'
import type { Caller, Sink } from '../caller/caller.ts'
import { filled } from '../caller/sinks.ts'
import type { Image } from '../image/types.ts'
import type { BlobForm } from '../layers/types.ts'
import type { Registries } from '../sources/registry/open.ts'
import type { TreeView } from '../tree/types.ts'
import { parseImageReference } from '../values/image-reference.ts'
import { formatPlatform, type Platform } from '../values/platform.ts'
import { makesIndex, type OutputOptions } from './check.ts'
import { type Content, collectContent, type Exported, type ExportOptions } from './content.ts'
import { parseTags, type StoreNames } from './tag.ts'
import { type ArchiveDeps, fillFile, recipeOf } from './unchanged.ts'
import type { ExportedTree } from './walk.ts'

/** What was built for one platform, as outputs take it. */
export interface BuiltPlatform {
  readonly platform: Platform
  /** As the store has it. */
  readonly image: Image
  /** SOURCE_DATE_EPOCH of the build, seconds. */
  readonly epoch: number | undefined
  /** The same build as another image. */
  assemble(how: {
    readonly epoch: number | undefined
    readonly rewriteTimestamps: boolean
    readonly form: BlobForm | undefined
  }): Promise<Image>
  /** The merged root file system. */
  files(): Promise<TreeView>
}

interface OutputDeps extends Progress, ArchiveDeps {
  readonly caller: ArchiveDeps['caller'] & Pick<Caller, 'directorySink'>
  readonly options: OutputOptions
  readonly registries: Registries
  /** Full references of `-t`. */
  readonly names: readonly string[]
}

type SinkDeps = Pick<OutputDeps, 'caller' | 'archives' | 'signal'>

/** What an output made, and the names that it has there. */
export interface Written extends Exported {
  readonly names: readonly string[]
}

type ImageSpec = Extract<OutputSpec, { readonly type: 'oci' | 'docker' | 'image' }>
type TreeSpec = Extract<OutputSpec, { readonly type: 'local' | 'tar' }>

/** Writes every output in turn. Returns what the last of those that hold an image made. */
export async function writeOutputs(built: readonly BuiltPlatform[], deps: OutputDeps): Promise<Written | undefined> {
  let written: Written | undefined
  for (const [index, output] of (deps.options.outputs ?? []).entries()) {
    if (output.type === 'cacheonly' || (output.type === 'image' && !output.push)) continue
    const id = `export-${index + 1}`
    const write = () => (isTree(output) ? writeTrees(output, built, deps) : writeImages(output, built, { ...deps, id }))
    written = (await runVertex(id, title(output), deps, write)) ?? written
  }
  return written
}

/** Names of the image in the store: the tags, and those that outputs give it. */
export function storeNames(outputs: readonly OutputSpec[], tags: readonly string[]): StoreNames {
  const named = outputs.filter((output) => output.type === 'image').filter(({ pushByDigest }) => pushByDigest !== true)
  const namesOf = ({ name }: (typeof named)[number]) => (name ? parseNames(name) : tags)
  const pushed = new Set(named.filter(isPush).flatMap(namesOf))
  const own = [...tags, ...named.flatMap(namesOf)].filter((name) => !pushed.has(name))
  return { own: [...new Set(own)], pushed: [...pushed] }
}

/** What outputs want of the layers. */
export interface WantedByOutputs {
  /** As the first output has them that takes blobs which are kept, as they are: diffID and blob are then made in one pass. */
  readonly form: BlobForm | undefined
  /** One takes the files. */
  readonly readsFiles: boolean
}

export function wantedBy(outputs: readonly OutputSpec[]): WantedByOutputs {
  const images = outputs.filter((output): output is ImageSpec => output.type === 'oci' || output.type === 'docker' || isPush(output))
  const forms = images.filter(({ rewriteTimestamp }) => rewriteTimestamp !== true).map(blobForm)
  return { form: forms.find(({ compression }) => compression !== 'uncompressed'), readsFiles: outputs.some(isTree) }
}

function isPush(output: OutputSpec): boolean {
  return output.type === 'image' && output.push
}

function title(output: OutputSpec): string {
  const titles: Partial<Record<OutputSpec['type'], string>> = {
    image: 'pushing to the registry',
    local: 'exporting to client directory',
    tar: 'exporting to client tarball',
  }
  if (output.type === 'docker' && output.dest === undefined) return 'loading into docker'
  return titles[output.type] ?? `exporting to ${output.type} image format`
}

function isTree(output: OutputSpec): output is TreeSpec {
  return output.type === 'local' || output.type === 'tar'
}

async function writeTrees(output: TreeSpec, built: readonly BuiltPlatform[], deps: OutputDeps): Promise<undefined> {
  const split = output.platformSplit ?? makesIndex(deps.options)
  const trees: ExportedTree[] = []
  for (const one of built) {
    const folder = split ? formatPlatform(one.platform).replaceAll('/', '_') : undefined
    trees.push({ view: await one.files(), folder, epoch: epochOf(output, one) })
  }
  if (output.type === 'local') {
    const { exportLocal } = await import('./local.ts')
    await intoDirectory(output.dest, deps, (path) => exportLocal(trees, path, deps.signal))
  } else {
    const { exportTar } = await import('./tar.ts')
    const layers = built.map(({ image }) => image.layers.map(({ id }) => id))
    const recipe = recipeOf(
      'tar',
      layers,
      trees.map(({ folder = null, epoch = null }) => [folder, epoch]),
    )
    await fillFile(output.dest, recipe, deps, (sink) => exportTar(trees, sink))
  }
  return undefined
}

async function writeImages(
  output: ImageSpec,
  built: readonly BuiltPlatform[],
  deps: OutputDeps & { readonly id: string },
): Promise<Written> {
  const names = output.name === undefined ? deps.names : parseNames(output.name)
  const images = await Promise.all(built.map((one) => imageFor(output, one)))
  const options: ExportOptions = {
    names,
    annotations: [...(output.annotations ?? []), ...(deps.options.annotations ?? [])],
    form: blobForm(output),
    index: makesIndex(deps.options),
    format: output.ociMediaTypes === false ? 'docker' : 'oci',
  }
  const exported = await writeContent(output, images, options, { ...deps, created: created(output, built, images) })
  return { ...exported, names: output.type === 'image' && output.pushByDigest === true ? names.map(withoutTag) : names }
}

async function writeContent(
  output: ImageSpec,
  images: readonly Image[],
  options: ExportOptions,
  deps: OutputDeps & { readonly id: string; readonly created: string | undefined },
): Promise<Exported> {
  if (output.type === 'image') return push(output, images, options, deps)
  const dated = { ...options, ...(deps.created === undefined ? {} : { created: deps.created }) }
  if (output.type === 'docker') return writeDocker(output, images, dated, deps)
  const { exportOciDirectory, exportOciTar } = await import('./oci.ts')
  if (output.tar) return toFile(output, images, dated, deps, exportOciTar)
  return intoDirectory(output.dest, deps, (path) => exportOciDirectory(images, path, { ...dated, signal: deps.signal }))
}

/** What Docker's graph drivers take (moby: layer store, maxLayerDepth); its containerd image store has no such limit. */
const DOCKER_LAYERS = 125

function noteDepth([image]: readonly Image[], onEvent: OnEvent): void {
  const count = image?.layers.length ?? 0
  if (count <= DOCKER_LAYERS) return
  const message = `the image has ${count} layers: a docker without the containerd image store loads at most ${DOCKER_LAYERS} ("max depth exceeded")`
  onEvent({ type: 'notice', message })
}

async function writeDocker(
  output: Extract<OutputSpec, { type: 'docker' }>,
  images: readonly Image[],
  options: ExportOptions,
  deps: SinkDeps & Pick<OutputDeps, 'onEvent'>,
): Promise<Exported> {
  const { exportDockerArchive } = await import('./docker-archive.ts')
  noteDepth(images, deps.onEvent)
  const { caller, signal } = deps
  const write = (content: Content, sink: Sink) => exportDockerArchive(content, sink, options.names)
  if (output.dest !== undefined) return toFile({ ...output, dest: output.dest }, images, options, deps, write)
  const loading = caller.sink({ kind: 'docker', context: output.context }, signal)
  return filled(loading, async (sink) => write(await collectContent(images, options), sink))
}

/** What an image's archive holds decides about its bytes. */
async function toFile(
  { type, dest }: { readonly type: 'oci' | 'docker'; readonly dest: string },
  images: readonly Image[],
  options: ExportOptions,
  deps: SinkDeps,
  write: (content: Content, sink: Sink) => Promise<Exported>,
): Promise<Exported> {
  const content = await collectContent(images, options)
  await fillFile(dest, recipeOf(type, options.names ?? [], recipeMembers(content)), deps, (sink) => write(content, sink))
  return content.exported
}

function recipeMembers({ blobs, entries, layers }: Content): Json {
  return { blobs: blobs.map(({ digest, size }) => [digest, size]), entries, layers } as unknown as Json
}

async function push(
  output: Extract<OutputSpec, { type: 'image' }>,
  images: readonly Image[],
  options: ExportOptions,
  { id, onEvent, signal, registries }: Pick<OutputDeps, 'onEvent' | 'signal' | 'registries'> & { readonly id: string },
): Promise<Exported> {
  const { exportToRegistry } = await import('./registry.ts')
  return exportToRegistry(images, {
    ...{ ...options, names: options.names ?? [], signal, registries },
    byDigest: output.pushByDigest === true,
    insecure: output.insecure === true,
    onProgress: (item, current, total, done) => onEvent({ type: 'progress', id, item, current, total, done, time: Date.now() }),
  })
}

/** The image as the store has it, unless the output wants other times in it. */
async function imageFor(output: ImageSpec, built: BuiltPlatform): Promise<Image> {
  const epoch = epochOf(output, built)
  const rewriteTimestamps = output.rewriteTimestamp === true
  if (epoch === built.epoch && !rewriteTimestamps) return built.image
  return built.assemble({ epoch, rewriteTimestamps, form: blobForm(output) })
}

function epochOf(output: ImageSpec | TreeSpec, built: BuiltPlatform): number | undefined {
  return output.epoch === undefined ? built.epoch : (output.epoch ?? undefined)
}

/** When the image is said to have been exported: the epoch, otherwise when its last step was made, so that equal images give equal archives. */
function created(output: ImageSpec, built: readonly BuiltPlatform[], images: readonly Image[]): string | undefined {
  const epoch = built[0] && epochOf(output, built[0])
  return epoch === undefined ? images[0]?.configFile.created : new Date(epoch * 1000).toISOString().replace('.000Z', 'Z')
}

/** A docker archive holds layers uncompressed unless it is told otherwise, since `docker load` would only unpack them again. */
function blobForm(output: ImageSpec): BlobForm {
  return {
    compression: output.compression ?? (output.type === 'docker' ? 'uncompressed' : 'gzip'),
    ...(output.compressionLevel === undefined ? {} : { level: output.compressionLevel }),
    ...(output.forceCompression === true ? { force: true } : {}),
  }
}

function parseNames(name: string): string[] {
  return parseTags(name.split(',').filter((part) => part !== ''))
}

function withoutTag(name: string): string {
  const { domain, path } = parseImageReference(name)
  return `${domain}/${path}`
}

function intoDirectory<T>(name: string, { caller, signal }: SinkDeps, fill: (path: string) => Promise<T>): Promise<T> {
  return filled(caller.directorySink(name, signal), ({ path }) =>
    fill(path).catch((error: unknown) => Promise.reject(destinationError(error, path))),
  )
}
