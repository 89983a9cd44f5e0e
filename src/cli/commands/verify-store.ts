import type { Verified } from '../../store/verify.ts'
import type { Io } from '../io.ts'
import { escapeControl } from '../text.ts'
import { type StoreFlags, withWritableStore } from './writable-store.ts'

export interface VerifyFlags extends StoreFlags {
  checkOnly?: boolean
}

/** `tbuild verify-store`: 0 when all is well now, 1 when `--check-only` found something. */
export async function verifyStoreCommand(flags: VerifyFlags, io: Io, args: readonly string[]): Promise<number> {
  return await withWritableStore(flags, { io, args }, async (store) => {
    const [{ verifyStore }, { createSnapshotter }, { layerChecker }] = await Promise.all([
      import('../../store/verify.ts'),
      import('../../snapshot/snapshotter.ts'),
      import('../../layers/verify-layer.ts'),
    ])
    const repair = flags.checkOnly !== true
    const verified = await verifyStore(store, { repair, checkLayer: layerChecker(store, createSnapshotter(store)) })
    io.stdout.write(flags.format === 'json' ? `${JSON.stringify(verified)}\n` : verificationText(verified))
    return verified.findings.every(({ forgotten }) => forgotten) ? 0 : 1
  })
}

const NAMES: readonly [keyof Verified['checked'], string, string][] = [
  ['blob', 'blob', 'blobs'],
  ['layer', 'layer', 'layers'],
  ['record', 'cache record', 'cache records'],
  ['image', 'image', 'images'],
  ['mount', 'cache mount', 'cache mounts'],
]

/** A line for each finding, then what was looked at. */
export function verificationText({ findings, checked, unknownLayers }: Verified): string {
  const lines = findings.map(({ type, id, problem, forgotten }) =>
    escapeControl(`${forgotten ? 'forgot' : 'found'} ${type} ${id}: ${problem}`),
  )
  const counts = NAMES.map(([type, one, many]) => `${checked[type]} ${checked[type] === 1 ? one : many}`)
  lines.push(`checked ${counts.slice(0, -1).join(', ')} and ${counts.at(-1)}: ${outcome(findings)}`)
  if (unknownLayers > 0) {
    lines.push(`of ${unknownLayers} ${unknownLayers === 1 ? 'layer' : 'layers'} only the presence is known: no image was made of them yet`)
  }
  return `${lines.join('\n')}\n`
}

function outcome(findings: Verified['findings']): string {
  if (findings.length === 0) return 'all is well'
  const open = findings.filter(({ forgotten }) => !forgotten).length
  return open === 0 ? `${findings.length} forgotten, the next build makes or fetches them again` : `${open} damaged`
}
