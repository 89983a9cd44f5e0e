import type { ImageRecord } from '../../store/types.ts'
import { splitName } from '../../values/image-reference.ts'
import type { Io } from '../io.ts'
import type { ListFlags } from '../program.ts'
import { ago, humanSize, table } from '../table.ts'
import { unsupported } from '../usage.ts'
import { withStore } from './store.ts'

/** `tbuild images` */
export async function imagesCommand(flags: ListFlags, io: Io): Promise<number> {
  io.stdout.write(await withStore(flags.root, io.env, async (view) => imageList(await view.images(), flags, Date.now())))
  return 0
}

/** The list as docker prints it: a table, with -q the ids, with --format json an object a line. Newest first. */
export function imageList(records: readonly ImageRecord[], flags: ListFlags, now: number): string {
  const sorted = [...records].sort((a, b) => b.created.localeCompare(a.created) || a.name.localeCompare(b.name))
  if (flags.quiet) return [...new Set(sorted.map((record) => `${shortId(record)}\n`))].join('')
  if (flags.format === 'json') return sorted.map((record) => `${JSON.stringify(jsonRow(record, now))}\n`).join('')
  if (flags.format !== undefined && flags.format !== 'table') throw unsupported(`--format ${flags.format}`, 'formats are table and json')
  const rows = sorted.map((record) => {
    const { repository, tag = '<none>' } = splitName(record.name)
    return [repository, tag, shortId(record), ago(record.created, now), humanSize(record.size)]
  })
  return table(['REPOSITORY', 'TAG', 'IMAGE ID', 'CREATED', 'SIZE'], rows)
}

function jsonRow(record: ImageRecord, now: number): Record<string, string> {
  const { repository, tag = '<none>' } = splitName(record.name)
  const { os, architecture, variant } = record.platform
  return {
    Repository: repository,
    Tag: tag,
    ID: record.config,
    CreatedAt: record.created,
    CreatedSince: ago(record.created, now),
    Size: humanSize(record.size),
    Platform: [os, architecture, variant].filter(Boolean).join('/'),
  }
}

function shortId(record: ImageRecord): string {
  return record.config.slice('sha256:'.length, 'sha256:'.length + 12)
}
