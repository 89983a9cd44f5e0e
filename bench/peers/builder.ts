import type { Daemon } from '../daemon.ts'
import type { Builder } from '../result.ts'

type Output =
  /** The builder's own store. */
  | { readonly kind: 'store' }
  /** An OCI image layout in a tarball. */
  | { readonly kind: 'archive'; readonly file: string; readonly compression?: 'gzip' | 'zstd' }
  | { readonly kind: 'push'; readonly reference: string }

/** A build as a user would ask for it. */
export interface Build {
  readonly context: string
  /** The name of the image, where it is kept. */
  readonly tag: string
  readonly output: Output
  readonly noCache?: boolean
  /** Names of FROM that stand for images of a registry. */
  readonly images?: Readonly<Record<string, string>>
  /** RUN without a network by default: the machine's is one builder's default, a bridge the other's. */
  readonly network?: 'none' | 'host'
}

/** Commands that are run one after the other. */
export type Commands = readonly (readonly string[])[]

/** Something that builds Dockerfiles. */
export interface Peer extends Builder {
  /** `store`: a folder for the store of a builder that is no daemon. */
  build(build: Build, store: string): Commands
  /** Prints an image of its store as JSON; undefined where nothing keeps images. */
  inspect(tag: string, store: string): readonly string[] | undefined
  /** Looks for mistakes without building; undefined where it cannot. */
  readonly check: ((context: string, store: string) => Commands) | undefined
  /** Says why steps would run; undefined where it cannot. */
  readonly explain: ((context: string, store: string) => Commands) | undefined
  /** Removes images from its store. */
  remove(tags: readonly string[]): Commands
  /** Empties its cache of builds, whoever filled it. */
  prune(): Commands
  readonly daemon: Daemon | undefined
  /** What the words before its commands take by themselves; it is not the builder's. */
  readonly overhead: { readonly seconds: number; readonly processors: number }
}
