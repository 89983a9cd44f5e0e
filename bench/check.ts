import { Failure, type Runner } from './run.ts'

interface Manifest {
  readonly layers: readonly { readonly digest: string; readonly mediaType: string }[]
}

/** An image in an OCI archive that stays as it is meanwhile, read by other people's programs: who makes a wrong one must not look fast. */
export class ArchivedImage {
  readonly #runner: Runner
  readonly #file: string
  #found: Promise<readonly string[]> | undefined

  constructor(runner: Runner, file: string) {
    this.#runner = runner
    this.#file = file
  }

  /** How many regular files its layers bring, those that stand in several counted each time. */
  async countFiles(): Promise<number> {
    return this.#countFilesOf(await this.#layers())
  }

  async #countFilesOf(layers: readonly string[]): Promise<number> {
    let count = 0
    for (const layer of layers) count += Number(await this.#shell(`${layer} | tar -tvf - | grep -c '^-' || true`))
    return count
  }

  /** The same of the uppermost layer. */
  async countFilesOnTop(): Promise<number> {
    return this.#countFilesOf((await this.#layers()).slice(-1))
  }

  /** What a file begins with, of the uppermost layer that has it. Throws Failure when none has. */
  async beginning(path: string, length: number): Promise<string> {
    for (const layer of [...(await this.#layers())].reverse()) {
      const content = await this.#shell(`${layer} | tar -xOf - ${path} 2>/dev/null | head -c ${length} || true`)
      if (content !== '') return content
    }
    throw new Failure(`${path} is not in what was exported`)
  }

  /** Bytes of a file, of all layers that have it. */
  async size(path: string): Promise<number> {
    let bytes = 0
    for (const layer of await this.#layers()) bytes += Number(await this.#shell(`${layer} | tar -xOf - ${path} 2>/dev/null | wc -c`))
    return bytes
  }

  async #manifest(): Promise<Manifest> {
    const index = JSON.parse(await this.#shell(`tar -xOf ${this.#file} index.json`)) as { manifests: readonly { digest: string }[] }
    return this.#document(index.manifests[0]?.digest ?? '')
  }

  /** Of an index that names one image or a manifest. */
  async #document(digest: string): Promise<Manifest> {
    const found = JSON.parse(await this.#shell(`tar -xOf ${this.#file} ${blobPath(digest)}`)) as Manifest & {
      manifests?: readonly { digest: string }[]
    }
    return found.manifests === undefined ? found : this.#document(found.manifests[0]?.digest ?? '')
  }

  /** Commands that write the tar of each layer. */
  #layers(): Promise<readonly string[]> {
    this.#found ??= this.#findLayers()
    return this.#found
  }

  async #findLayers(): Promise<readonly string[]> {
    return (await this.#manifest()).layers.map(({ digest, mediaType }) => {
      const unpack = /gzip$/.test(mediaType) ? ' | gzip -dc' : /zstd$/.test(mediaType) ? ' | zstd -dc' : ''
      return `tar -xOf ${this.#file} ${blobPath(digest)}${unpack}`
    })
  }

  #shell(script: string): Promise<string> {
    return this.#runner.output(['sh', '-c', script])
  }
}

const blobPath = (digest: string) => `blobs/${digest.replace(':', '/')}`

/** The layers of an image as `inspect` of tbuild, docker and podman tells them, or as buildah does. */
export function layersOf(inspected: string): number {
  const parsed = JSON.parse(inspected) as Inspected | readonly Inspected[]
  const image = Array.isArray(parsed) ? (parsed[0] as Inspected | undefined) : (parsed as Inspected)
  return image?.RootFS?.Layers?.length ?? image?.OCIv1?.rootfs?.diff_ids?.length ?? 0
}

interface Inspected {
  readonly RootFS?: { readonly Layers?: readonly string[] }
  readonly OCIv1?: { readonly rootfs?: { readonly diff_ids?: readonly string[] } }
}

/** Throws Failure. */
export function expectEqual(what: string, found: unknown, expected: unknown): void {
  if (found !== expected) throw new Failure(`wrong result: ${what}: ${found}, not ${expected}`)
}
