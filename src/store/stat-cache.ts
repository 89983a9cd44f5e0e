import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { writeAtomicSync } from './atomic-file.ts'
import type { StoreLayout } from './layout.ts'
import type { Leases } from './leases.ts'
import { ifPresent } from './store-error.ts'

/**
 * Digests of a context's files by their stat, so that an unchanged file is not read again. One file a context root:
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
  /** `root`: absolute path of the context directory, bytes. `spare`: as SPARE, which it is otherwise. */
  open(root: Uint8Array | string, options?: { readonly spare?: number }): StatCacheFile
}

/** What identifies the content of a file. */
export interface FileStat {
  readonly dev: number
  readonly ino: number
  readonly size: number
  readonly mtimeSeconds: number
  readonly mtimeNanoseconds: number
  readonly ctimeSeconds: number
  readonly ctimeNanoseconds: number
}

const HEAD = 'tbuild-stat 1 '
/** Entries of files that this build did not see are kept up to this count: other Dockerfiles use other parts of a context. */
const SPARE = 20_000
/** Milliseconds. File systems stamp with the clock's tick, some with whole seconds or two. */
const RACY = 2000

/**
 * The key of a file, or undefined when it was changed so recently that another change could leave the same stamps: its digest must not be kept (git's
 * racy entries). ctime is part of it, since mtime can be set back by anyone. `now` is the time before the file is read, in milliseconds.
 */
export function statKey(stat: FileStat, now: number): string | undefined {
  if (now - Math.max(stat.mtimeSeconds, stat.ctimeSeconds) * 1000 < RACY + 1000) return undefined
  const base = [stat.dev, stat.ino, stat.size].map((part) => part.toString(36)).join('.')
  return `${base}.${stat.mtimeSeconds}.${stat.mtimeNanoseconds}.${stat.ctimeSeconds}.${stat.ctimeNanoseconds}`
}

export function createStatCaches(layout: StoreLayout, leases: Leases): StatCaches {
  return {
    open(root, { spare = SPARE } = {}) {
      const path = join(layout.stat, createHash('sha256').update(root).digest('hex'))
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
  return createHash('sha256').update(body, 'latin1').digest('hex')
}
