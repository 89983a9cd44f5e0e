import { resolve } from 'node:path'
import { TbuildError } from '../base/errors.ts'
import type { OnEvent } from '../base/events.ts'
import type { BuildHooks, OutputSpec } from '../build-options.ts'
import type { Image } from '../image/types.ts'
import type { Exported, ExportOptions } from './content.ts'
import { exportDockerArchive } from './docker-archive.ts'
import { exportOciDirectory, exportOciTar } from './oci.ts'
import type { Sink } from './sink.ts'

export interface OutputTools {
  /** Full references of `-t`. */
  readonly names: readonly string[]
  readonly annotations: Readonly<Record<string, string>>
  readonly stdout: BuildHooks['stdout']
  readonly onEvent: OnEvent
}

/** Writes every output; what an archive holds is answered, of the last one. */
export async function writeOutputs(
  outputs: readonly OutputSpec[],
  images: readonly Image[],
  tools: OutputTools,
): Promise<Exported | undefined> {
  let exported: Exported | undefined
  for (const [index, output] of outputs.entries()) {
    if (output.type === 'cacheonly') continue
    exported = (await told(`export-${index + 1}`, title(output), tools.onEvent, () => writeOutput(output, images, tools))) ?? exported
  }
  return exported
}

/** Refuses what no exporter does before anything is built. */
export function checkOutputs(outputs: readonly OutputSpec[]): void {
  for (const output of outputs) {
    if (output.type === 'image' && output.push) throw unsupported('pushing to a registry')
    if (output.type === 'local' || output.type === 'tar') throw unsupported(`-o type=${output.type}`)
  }
}

function unsupported(what: string): TbuildError {
  return new TbuildError('OUTPUT_UNSUPPORTED', `${what} is not supported yet`, {
    hint: 'use -o type=oci,dest=FILE or -o type=docker,dest=FILE',
  })
}

function title(output: OutputSpec): string {
  return output.type === 'image' ? 'exporting to the store' : `exporting to ${output.type}`
}

async function writeOutput(output: OutputSpec, images: readonly Image[], tools: OutputTools): Promise<Exported | undefined> {
  if (output.type !== 'oci' && output.type !== 'docker') return undefined
  const names = output.name === undefined ? tools.names : output.name.split(',')
  const options: ExportOptions = {
    names,
    annotations: tools.annotations,
    form: blobForm(output),
    ...(images[0]?.configFile.created === undefined ? {} : { created: images[0].configFile.created }),
  }
  if (!output.tar) return exportOciDirectory(images, resolve(output.dest), options)
  const sink: Sink = output.dest === '-' ? standardOutput(tools) : resolve(output.dest)
  return output.type === 'oci' ? exportOciTar(images, sink, options) : exportDockerArchive(images, sink, options)
}

/** How an output wants the layers: a docker archive holds them uncompressed, since `docker load` would only unpack them again. */
export function blobForm(output: OutputSpec): NonNullable<ExportOptions['form']> {
  if (output.type !== 'oci' && output.type !== 'docker') return {}
  const compression = output.compression ?? (output.type === 'docker' ? 'uncompressed' : 'gzip')
  return { compression, ...(output.compressionLevel === undefined ? {} : { level: output.compressionLevel }) }
}

function standardOutput(tools: OutputTools): Sink {
  if (tools.stdout !== undefined) return tools.stdout
  throw new TbuildError('OUTPUT_STDOUT', 'an output goes to standard output, but the caller takes none')
}

async function told<T>(id: string, name: string, onEvent: OnEvent, run: () => Promise<T>): Promise<T> {
  onEvent({ type: 'vertex', id, name })
  onEvent({ type: 'started', id, time: Date.now() })
  try {
    const value = await run()
    onEvent({ type: 'done', id, time: Date.now(), cached: false })
    return value
  } catch (error) {
    onEvent({ type: 'failed', id, time: Date.now(), canceled: false, message: (error as Error).message })
    throw error
  }
}
