import type { Collected } from '../../store/collect.ts'
import type { Collectable } from '../../store/gc-selection.ts'
import type { Io } from '../io.ts'
import { type PruneFlags, pruneRule } from '../options/prune.ts'
import { ago, humanSize, table } from '../table.ts'
import { cut, oneLine } from '../text.ts'
import { type StoreFlags, withWritableStore } from './writable-store.ts'

export interface PruneCommandFlags extends StoreFlags, PruneFlags {
  dryRun?: boolean
}

/** `tbuild prune`: garbage, and what the options or else the policy of the store say. */
export async function pruneCommand(flags: PruneCommandFlags, io: Io, args: readonly string[]): Promise<number> {
  const rule = pruneRule(flags, Date.now())
  return await withWritableStore(flags, { io, args }, async (store) => {
    const [{ collect }, { readGcPolicy }] = await Promise.all([import('../../store/collect.ts'), import('../../store/gc-policy.ts')])
    const rules = rule === undefined ? readGcPolicy(store.layout).rules : [rule]
    const collected = await collect(store, { rules, dryRun: flags.dryRun ?? false })
    io.stdout.write(flags.format === 'json' ? `${JSON.stringify(collected)}\n` : pruneText(collected, flags.dryRun ?? false, Date.now()))
    return 0
  })
}

const COLUMN = 60

/** What went, and how much space it took. */
export function pruneText({ removed, freed }: Collected, dryRun: boolean, now: number): string {
  const total = `${dryRun ? 'Would free' : 'Freed'} ${humanSize(freed)}\n`
  if (removed.length === 0) return total
  const rows = removed.map((item) => [
    item.type,
    shortId(item),
    humanSize(item.size),
    item.lastUsed ? ago(item.lastUsed, now) : '',
    label(item),
  ])
  return `${table(['TYPE', 'ID', 'SIZE', 'LAST USED', 'NAME'], rows)}\n${total}`
}

function shortId({ type, id }: Collectable): string {
  return type === 'image' ? '' : id.replace(/^sha256:/, '').slice(0, 12)
}

function label({ name }: Collectable): string {
  return name === undefined ? '' : cut(oneLine(name), COLUMN)
}
