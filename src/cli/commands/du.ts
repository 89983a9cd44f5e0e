import type { DiskUsage, Usage } from '../../store/disk-usage.ts'
import { familiarName } from '../../values/image-reference.ts'
import type { Io } from '../io.ts'
import { ago, humanSize, table } from '../table.ts'
import { cut, oneLine } from '../text.ts'
import { usage as usageError } from '../usage.ts'
import { type StoreFlags, withWritableStore } from './writable-store.ts'

export interface DuFlags extends StoreFlags {
  by?: string
}

const COLUMN = 70

/** `tbuild du [--by image|record|line|mount]` */
export async function duCommand(flags: DuFlags, io: Io, args: readonly string[]): Promise<number> {
  const show = Object.hasOwn(VIEWS, flags.by ?? 'type') ? VIEWS[flags.by ?? 'type'] : undefined
  if (show === undefined) throw usageError(`invalid --by ${JSON.stringify(flags.by)}`, `write one of ${Object.keys(VIEWS).join(', ')}`)
  return await withWritableStore(flags, { io, args }, async (store) => {
    const { diskUsage } = await import('../../store/disk-usage.ts')
    const found = await diskUsage(store)
    io.stdout.write(
      flags.format === 'json' ? `${JSON.stringify(found)}\n` : `${show(found, Date.now())}\nTotal ${humanSize(found.total)}\n`,
    )
    return 0
  })
}

const VIEWS: Readonly<Record<string, (found: DiskUsage, now: number) => string>> = {
  type: byType,
  image: byImage,
  record: byRecord,
  line: byLine,
  mount: byMount,
}

/** RECLAIMABLE: what `tbuild prune --all` would free, if no build ran. */
function byType(found: DiskUsage): string {
  const sum = (items: readonly { size: number }[]) => items.reduce((total, { size }) => total + size, 0)
  const ofImages = new Set(found.images.flatMap(({ image }) => image.layers.map(({ id }) => id)))
  const others = found.layers.filter(({ id }) => !ofImages.has(id))
  const garbage = found.layers.filter(({ users }) => users === 0)
  const row = (type: string, count: number, size: number, reclaimable: number) => [
    type,
    String(count),
    humanSize(size),
    humanSize(reclaimable),
  ]
  return table(
    ['TYPE', 'COUNT', 'SIZE', 'RECLAIMABLE'],
    [
      row('Images', found.images.length, sum(found.layers) - sum(others), 0),
      row('Cache records', found.records.length, sum(others) - sum(garbage), sum(others) - sum(garbage)),
      row('Cache mounts', found.mounts.length, sum(found.mounts), sum(found.mounts.filter(({ inUse }) => !inUse))),
      row('Blobs', found.blobs.length, sum(found.blobs), 0),
      row('Unreferenced layers', garbage.length, sum(garbage), sum(garbage)),
    ],
  )
}

const sizes = ({ unique, shared }: Usage) => [humanSize(unique + shared), humanSize(unique), humanSize(shared)]

function byImage({ images }: DiskUsage, now: number): string {
  const rows = images.map(({ image, usage }) => [
    familiarName(image.name),
    image.config.slice(7, 19),
    ...sizes(usage),
    ago(image.created, now),
  ])
  return table(['IMAGE', 'ID', 'SIZE', 'UNIQUE', 'SHARED', 'CREATED'], rows)
}

function byRecord({ records }: DiskUsage, now: number): string {
  const sorted = [...records].sort((a, b) => (a.record.lastUsed < b.record.lastUsed ? 1 : -1))
  const rows = sorted.map(({ record, usage }) => [
    record.key.slice(7, 19),
    ...sizes(usage),
    ago(record.lastUsed, now),
    cut(oneLine(record.name ?? record.step), COLUMN),
  ])
  return table(['ID', 'SIZE', 'UNIQUE', 'SHARED', 'LAST USED', 'STEP'], rows)
}

function byLine({ lines }: DiskUsage, now: number): string {
  const rows = lines.map((line) => [
    line.place ?? '',
    ...sizes(line),
    humanSize(line.latest),
    String(line.versions),
    ago(line.lastUsed, now),
    cut(oneLine(line.name), COLUMN),
  ])
  return table(['LINE', 'SIZE', 'UNIQUE', 'SHARED', 'NEWEST', 'VERSIONS', 'LAST USED', 'STEP'], rows)
}

function byMount({ mounts }: DiskUsage, now: number): string {
  const rows = mounts.map(({ id, key, size, lastUsed, inUse }) => [
    id,
    key.slice(7, 19),
    humanSize(size),
    inUse ? 'now' : ago(lastUsed, now),
  ])
  return table(['CACHE MOUNT', 'KEY', 'SIZE', 'LAST USED'], rows)
}
