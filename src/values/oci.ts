import type { Digest } from '../base/digest.ts'

/** The nouns of the OCI image spec, and the Docker forms that mean the same. */
export const MediaType = {
  ociIndex: 'application/vnd.oci.image.index.v1+json',
  ociManifest: 'application/vnd.oci.image.manifest.v1+json',
  ociConfig: 'application/vnd.oci.image.config.v1+json',
  ociLayer: 'application/vnd.oci.image.layer.v1.tar',
  ociLayerGzip: 'application/vnd.oci.image.layer.v1.tar+gzip',
  ociLayerZstd: 'application/vnd.oci.image.layer.v1.tar+zstd',
  dockerIndex: 'application/vnd.docker.distribution.manifest.list.v2+json',
  dockerManifest: 'application/vnd.docker.distribution.manifest.v2+json',
  dockerConfig: 'application/vnd.docker.container.image.v1+json',
  dockerLayer: 'application/vnd.docker.image.rootfs.diff.tar',
  dockerLayerGzip: 'application/vnd.docker.image.rootfs.diff.tar.gzip',
  /** Of no Docker's specification: containerd, BuildKit and zstd:chunked write it in docker manifests. */
  dockerLayerZstd: 'application/vnd.docker.image.rootfs.diff.tar.zstd',
} as const

export type LayerCompression = 'none' | 'gzip' | 'zstd'

/** Layers that were not to be pushed, such as those of Windows' bases: Docker's `foreign` and OCI's `nondistributable`. In a registry they are what the others are. */
const NOT_DISTRIBUTABLE: readonly { readonly oci: string; readonly docker: string; readonly compression: LayerCompression }[] = (
  [
    ['', '', 'none'],
    ['+gzip', '.gzip', 'gzip'],
    ['+zstd', '.zstd', 'zstd'],
  ] as const
).map(([oci, docker, compression]) => ({
  oci: `application/vnd.oci.image.layer.nondistributable.v1.tar${oci}`,
  docker: `application/vnd.docker.image.rootfs.foreign.diff.tar${docker}`,
  compression,
}))

const LAYERS: readonly { readonly oci: string; readonly docker: string; readonly compression: LayerCompression }[] = [
  { oci: MediaType.ociLayer, docker: MediaType.dockerLayer, compression: 'none' },
  { oci: MediaType.ociLayerGzip, docker: MediaType.dockerLayerGzip, compression: 'gzip' },
  { oci: MediaType.ociLayerZstd, docker: MediaType.dockerLayerZstd, compression: 'zstd' },
]

/** A closed list: a media type of a layer that is not here is refused, never guessed. */
export const LAYER_TYPES: ReadonlyMap<string, LayerCompression> = new Map(
  [...LAYERS, ...NOT_DISTRIBUTABLE].flatMap(({ oci, docker, compression }) => [
    [oci, compression] as const,
    [docker, compression] as const,
  ]),
)

/** What a layer of this type is called in manifests of the other kind; as it is where it has one name. What was fetched from a registry is a layer like others. */
export function layerTypeIn(kind: 'oci' | 'docker', mediaType: string): string {
  const named = (list: typeof LAYERS) => list.findIndex(({ oci, docker }) => oci === mediaType || docker === mediaType)
  return LAYERS[Math.max(named(LAYERS), named(NOT_DISTRIBUTABLE))]?.[kind] ?? mediaType
}

/** The file `oci-layout` of an image layout (OCI image spec, image-layout.md). */
export const OCI_LAYOUT = '{"imageLayoutVersion":"1.0.0"}'
/** The annotation that names an entry of index.json there: a tag. */
export const REF_NAME = 'org.opencontainers.image.ref.name'

/** OCI image spec, descriptor.md. */
export interface Descriptor {
  readonly mediaType: string
  readonly digest: Digest
  readonly size: number
  readonly annotations?: Readonly<Record<string, string>>
  readonly platform?: { readonly os: string; readonly architecture: string; readonly variant?: string; readonly 'os.version'?: string }
}

/** OCI image spec, manifest.md. */
export interface Manifest {
  readonly schemaVersion: 2
  readonly mediaType?: string
  readonly config: Descriptor
  readonly layers: readonly Descriptor[]
  readonly annotations?: Readonly<Record<string, string>>
}

/** OCI image spec, image-index.md. */
export interface Index {
  readonly schemaVersion: 2
  readonly mediaType?: string
  readonly manifests: readonly Descriptor[]
  readonly annotations?: Readonly<Record<string, string>>
}

/** OCI image spec, config.md, with the docker-only members that BuildKit keeps (I12). Unknown members of a base are preserved (I7). */
export interface ImageConfigFile {
  created?: string
  author?: string
  architecture: string
  os: string
  variant?: string
  'os.version'?: string
  config?: ContainerConfig
  rootfs: { type: 'layers'; diff_ids: Digest[] }
  history?: History[]
  [unknown: string]: unknown
}

export interface ContainerConfig {
  User?: string
  ExposedPorts?: Record<string, object>
  Env?: string[]
  Entrypoint?: string[] | null
  Cmd?: string[] | null
  Volumes?: Record<string, object>
  WorkingDir?: string
  Labels?: Record<string, string>
  StopSignal?: string
  ArgsEscaped?: boolean
  Healthcheck?: HealthConfig
  Shell?: string[]
  OnBuild?: string[]
  [unknown: string]: unknown
}

/** Durations in nanoseconds. */
export interface HealthConfig {
  Test?: string[]
  Interval?: number
  Timeout?: number
  StartPeriod?: number
  StartInterval?: number
  Retries?: number
}

export interface History {
  created?: string
  created_by?: string
  author?: string
  comment?: string
  empty_layer?: boolean
}
