import type { History, ImageConfigFile } from '../../values/oci.ts'
import type { Io } from '../io.ts'
import type { HistoryFlags } from '../program.ts'
import { ago, humanSize, table } from '../table.ts'
import { cut, oneLine } from '../text.ts'
import { unsupported } from '../usage.ts'
import { findImage, withStore } from './store.ts'

const COMMAND_COLUMNS = 45

/** `tbuild history IMAGE` */
export async function historyCommand(wanted: string, flags: HistoryFlags, io: Io): Promise<number> {
  const text = await withStore(flags.root, io.env, async (view) => {
    const { record } = await findImage(view, wanted)
    const sizes = record.layers.map((layer) => view.layerSize(layer.id))
    return historyList(record.config, await view.config(record), sizes, flags, Date.now())
  })
  io.stdout.write(text)
  return 0
}

/** Newest first, as docker's. `sizes` are those of the layers, bottom first; steps without a layer have size 0. */
export function historyList(
  id: string,
  config: ImageConfigFile,
  sizes: readonly (number | undefined)[],
  flags: HistoryFlags,
  now: number,
): string {
  const entries = withSizes(config.history ?? [], sizes).reverse()
  const ids = entries.map((_, index) => (index === 0 ? id.slice(7, 19) : '<missing>'))
  if (flags.quiet) return ids.map((line) => `${line}\n`).join('')
  if (flags.format === 'json')
    return entries.map((entry, index) => `${JSON.stringify(jsonRow(entry, ids[index] as string, now))}\n`).join('')
  if (flags.format !== undefined && flags.format !== 'table') throw unsupported(`--format ${flags.format}`, 'formats are table and json')
  const rows = entries.map(({ step, size }, index) => {
    const command = oneLine(step.created_by ?? '')
    return [
      ids[index] as string,
      ago(step.created, now),
      flags.trunc ? cut(command, COMMAND_COLUMNS) : command,
      size === undefined ? 'N/A' : humanSize(size),
      oneLine(step.comment ?? ''),
    ]
  })
  return table(['IMAGE', 'CREATED', 'CREATED BY', 'SIZE', 'COMMENT'], rows)
}

interface Entry {
  readonly step: History
  readonly size: number | undefined
}

function withSizes(history: readonly History[], sizes: readonly (number | undefined)[]): Entry[] {
  let layer = 0
  return history.map((step) => ({ step, size: step.empty_layer ? 0 : sizes[layer++] }))
}

function jsonRow({ step, size }: Entry, id: string, now: number): Record<string, string> {
  return {
    ID: id,
    CreatedAt: step.created ?? '',
    CreatedSince: ago(step.created, now),
    CreatedBy: step.created_by ?? '',
    Size: size === undefined ? 'N/A' : humanSize(size),
    Comment: step.comment ?? '',
  }
}
