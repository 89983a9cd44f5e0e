import { readdirSync, readFileSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import { randomHex } from '../base/random.ts'
import { type FileLock, tryFlock, waitFor } from './flock.ts'
import type { StoreLayout } from './layout.ts'
import { removeTree } from './remove-tree.ts'
import { ifPresent, storeError } from './store-error.ts'

/**
 * What keeps gc away from running builds, and tells half-made things of the living from those of the dead.
 *
 * Each operation on the store (a build, a command) has one lease: a file in leases/ that its process holds by flock, with one line for each layer and blob
 * that it relies on; an engine that lives long holds none between two operations. A name is written there *before* its presence is checked (`use`); gc reads
 * the leases of operations under way before it takes anything out of the store. Both happen under one lock, locks/gc: users share it for microseconds, gc
 * has it alone while it marks and renames. So a checked name stays until its operation ends. Nothing depends on clocks, a use costs no write to the used
 * object, and a killed process loses its lease with its lock.
 *
 * Things under tmp/ are named `<lease>.<number>`; when nobody holds the lease they are leftovers, and the next operation that takes a lease removes them.
 */
export interface Leases {
  /** Claims `names` (`layer:<id>`, `blob:<hex>`) and then runs `check`: what it sees stays until close. */
  use<T>(names: readonly string[], check: () => T): Promise<T>
  /** True when `use` or `claim` had this name already. */
  holds(name: string): boolean
  /** A new path under tmp/. */
  temporary(): string
  /** All names that operations under way rely on, of this process and others; `others` leaves out this one. Call it under `exclusively`. */
  read(options?: { others: boolean }): Set<string>
  /** Runs `task` while nobody is within `use`: for gc, and short. */
  exclusively<T>(task: () => T, signal?: AbortSignal): Promise<T>
  /** Removes what dead processes left in tmp/ and leases/. */
  sweep(): Promise<void>
  /** Ends the lease and waits for a sweep under way. What is still asked afterwards is refused: an operation that is over holds nothing any more. */
  close(): Promise<void>
}

interface Lease {
  readonly name: string
  readonly lock: FileLock
}

export function createLeases(layout: StoreLayout, onNotice: (message: string) => void): Leases {
  const gcLock = join(layout.locks, 'gc')
  const held = new Set<string>()
  let lease: Lease | undefined
  let sweeping: Promise<void> | undefined
  let counter = 0
  let over = false

  function own(): Lease {
    if (over) throw new Error('the operation on the store is over')
    if (lease === undefined) {
      try {
        lease = takeLease(layout)
      } catch (error) {
        throw storeError(error, 'be used by this process')
      }
      sweeping = sweep().catch((error: unknown) => onNotice(`leftovers in the store could not be removed: ${(error as Error).message}`))
    }
    return lease
  }

  async function use<T>(names: readonly string[], check: () => T): Promise<T> {
    const fresh = names.filter((name) => !held.has(name))
    if (fresh.length === 0) return check()
    own()
    const gate = await waitFor(() => tryFlock(gcLock, 'shared'))
    try {
      // Asked again: meanwhile the operation may have ended, and the number of its file be another's.
      const { lock } = own()
      // The first \n ends a line that a full disk cut short.
      writeSync(lock.fd, `\n${fresh.join('\n')}\n`)
      for (const name of fresh) held.add(name)
      return check()
    } catch (error) {
      throw storeError(error, 'be used by this process')
    } finally {
      gate.release()
    }
  }

  function read({ others }: { others: boolean } = { others: false }): Set<string> {
    const names = new Set<string>(others ? [] : held)
    for (const name of readdirSync(layout.leases)) {
      if (name === lease?.name || isDead(name)) continue
      for (const line of (ifPresent(() => readFileSync(join(layout.leases, name), 'utf8')) ?? '').split('\n')) names.add(line)
    }
    names.delete('')
    return names
  }

  function isDead(name: string): boolean {
    const lock = tryFlock(join(layout.leases, name), 'shared', { create: false })
    lock?.release()
    return lock !== undefined
  }

  async function exclusively<T>(task: () => T, signal?: AbortSignal): Promise<T> {
    const lock = await waitFor(() => tryFlock(gcLock, 'exclusive'), { signal })
    try {
      return task()
    } finally {
      lock.release()
    }
  }

  async function sweep(): Promise<void> {
    const leftovers = new Map<string, string[]>()
    for (const name of readdirSync(layout.leases)) leftovers.set(name, [])
    for (const name of readdirSync(layout.tmp)) {
      const owner = name.slice(0, name.indexOf('.') < 0 ? undefined : name.indexOf('.'))
      leftovers.set(owner, [...(leftovers.get(owner) ?? []), name])
    }
    for (const [owner, names] of leftovers) if (owner !== lease?.name) await removeLeftovers(owner, names)
  }

  async function removeLeftovers(owner: string, names: readonly string[]): Promise<void> {
    // Held while removing, so that two sweepers share the work by owner. It creates the file when only leftovers are there.
    const lock = tryFlock(join(layout.leases, owner), 'exclusive')
    if (lock === undefined) return
    let all = true
    for (const name of names) {
      const failures = await removeTree(join(layout.tmp, name))
      if (failures.length === 0) continue
      all = false
      onNotice(`${failures.length} leftover files in ${join(layout.tmp, name)} cannot be removed: ${failures[0]?.message}`)
    }
    lock.release({ remove: all })
  }

  async function removeOwn(name: string): Promise<void> {
    const own = (ifPresent(() => readdirSync(layout.tmp)) ?? []).filter((entry) => entry.startsWith(`${name}.`))
    // What cannot be removed now is left to the next sweep, which tells of it.
    for (const entry of own) await removeTree(join(layout.tmp, entry))
  }

  return {
    use,
    holds: (name) => held.has(name),
    temporary: () => join(layout.tmp, `${own().name}.${counter++}`),
    read,
    exclusively,
    sweep,
    async close() {
      over = true
      await sweeping
      // What was used up: a context that came on standard input.
      if (lease !== undefined && counter > 0) await removeOwn(lease.name)
      lease?.lock.release({ remove: true })
      lease = undefined
      held.clear()
    },
  }
}

function takeLease(layout: StoreLayout): Lease {
  for (;;) {
    const name = randomHex(8)
    // A sweeper that came between open and flock makes tryFlock lock a new file of the same name: still ours alone.
    const lock = tryFlock(join(layout.leases, name), 'exclusive')
    if (lock !== undefined) return { name, lock }
  }
}
