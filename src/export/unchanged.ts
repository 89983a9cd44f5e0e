import { canonicalJson, type Json } from '../base/canonical-json.ts'
import { type Digest, sha256 } from '../base/digest.ts'
import type { Caller, Sink } from '../caller/caller.ts'
import { filled } from '../caller/sinks.ts'
import type { StatCacheFile } from '../store/stat-cache.ts'

/** Raised when the bytes of an archive with the same members change: those of before are then written anew. */
const FORMAT = 1

export interface ArchiveDeps {
  readonly caller: Pick<Caller, 'sink' | 'renewed'>
  /** Marks of the files of outputs, by name and recipe. */
  readonly archives: StatCacheFile
  readonly signal: AbortSignal
}

/** Of all that decides about the bytes of an archive. */
export function recipeOf(...parts: Json[]): Digest {
  return sha256(canonicalJson([FORMAT, ...parts]))
}

/**
 * Fills the file of an output. One that an earlier build filled by the same recipe, and that nobody has touched since, only gets the time of now: `make` and its
 * like see an output that was made.
 */
export async function fillFile(name: string, recipe: Digest, deps: ArchiveDeps, fill: (sink: Sink) => Promise<unknown>): Promise<void> {
  const { caller, archives, signal } = deps
  const key = recipeOf(name, recipe)
  const before = archives.get(key)
  const renewed = before === undefined ? undefined : await caller.renewed(name, before)
  const mark = renewed ?? (await write(caller.sink({ kind: 'file', name }, signal), fill))
  if (mark === undefined) return
  archives.set(key, mark)
  archives.save()
}

async function write(opened: Promise<Sink>, fill: (sink: Sink) => Promise<unknown>): Promise<string | undefined> {
  const sink = await filled(opened, async (open) => {
    await fill(open)
    return open
  })
  return sink.mark?.()
}
