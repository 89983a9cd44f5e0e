import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { sha256Hex } from '../base/digest.ts'
import { writeAtomicSync } from './atomic-file.ts'
import type { StoreLayout } from './layout.ts'
import type { Leases } from './leases.ts'
import { ifPresent } from './store-error.ts'

/**
 * Digests, and marks of files, that builds remember by a key of their own: of trees, snapshots, outputs and what URLs gave. One file for each kind:
 *
 *   tbuild-stat 1 <sha256 of the rest>\n  then  <key>\t<digest>\n  for each entry
 *
 * Losing it costs time only: it is written when something changed, never synced, and ignored when its checksum is wrong.
 */
export interface StatCacheFile {
  get(key: string): string | undefined
  set(key: string, digest: string): void
  /** Writes the file when an entry was added. An error is thrown away: the store may be full, and the build is done. */
  save(): void
}

export interface StatCaches {
  /** `spare`: as SPARE, which it is otherwise. */
  open(name: string, options?: { readonly spare?: number }): StatCacheFile
}

const HEAD = 'tbuild-stat 1 '
/** Entries that this build did not ask for are kept up to this count. */
const SPARE = 20_000
export function createStatCaches(layout: StoreLayout, leases: Leases): StatCaches {
  return {
    open(name, { spare = SPARE } = {}) {
      const path = join(layout.stat, sha256Hex(name))
      return openFile(path, () => leases.temporary(), spare)
    },
  }
}

function openFile(path: string, temporary: () => string, spare: number): StatCacheFile {
  let entries: Map<string, string> | undefined
  const used = new Set<string>()
  let changed = false

  function load(): Map<string, string> {
    // Not before the first question: a build without COPY from the context has none.
    entries ??= parse(path)
    return entries
  }

  return {
    get(key) {
      const digest = load().get(key)
      if (digest !== undefined) used.add(key)
      return digest
    },
    set(key, digest) {
      if (/[\t\n]/.test(key + digest)) return
      load().set(key, digest)
      used.add(key)
      changed = true
    },
    save() {
      if (!changed || entries === undefined) return
      if (entries.size > used.size + spare) for (const key of entries.keys()) if (!used.has(key)) entries.delete(key)
      let body = ''
      for (const [key, digest] of entries) body += `${key}\t${digest}\n`
      try {
        writeAtomicSync(temporary(), path, `${HEAD}${checksum(body)}\n${body}`, { durable: false })
        changed = false
      } catch {
        // See the interface.
      }
    },
  }
}

/** For verification. */
export function isStatCache(path: string): boolean {
  return bodyOf(readOrEmpty(path)) !== undefined
}

function bodyOf(text: string): string | undefined {
  const bodyAt = HEAD.length + 64 + 1
  const body = text.slice(bodyAt)
  return text.startsWith(HEAD) && checksum(body) === text.slice(HEAD.length, bodyAt - 1) ? body : undefined
}

function parse(path: string): Map<string, string> {
  const entries = new Map<string, string>()
  const body = bodyOf(readOrEmpty(path)) ?? ''
  for (let at = 0; at < body.length; ) {
    const tab = body.indexOf('\t', at)
    const end = body.indexOf('\n', tab)
    entries.set(body.slice(at, tab), body.slice(tab + 1, end))
    at = end + 1
  }
  return entries
}

function readOrEmpty(path: string): string {
  try {
    return ifPresent(() => readFileSync(path, 'latin1')) ?? ''
  } catch {
    return ''
  }
}

function checksum(body: string): string {
  return sha256Hex(Buffer.from(body, 'latin1'))
}
