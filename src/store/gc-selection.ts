import type { LayerId } from './types.ts'

/** One thing that gc may take. Sizes in bytes. */
export interface Collectable {
  readonly type: 'record' | 'mount' | 'image' | 'layer' | 'blob'
  readonly id: string
  /** What goes with it and is needed by nothing that stays; of a record and an image: the layers. */
  readonly size: number
  /** ISO time; absent for what nothing refers to. */
  readonly lastUsed?: string
  /** What the user knows it by. */
  readonly name?: string
}

/** What a rule may take: records, cache mounts, images. */
export interface Candidate {
  readonly type: 'record' | 'mount' | 'image'
  readonly id: string
  readonly name?: string
  /** ISO time. */
  readonly lastUsed: string
  readonly inUse: boolean
  readonly layers: readonly LayerId[]
  /** Bytes besides the layers. */
  readonly own: number
}

/**
 * As BuildKit's: of the things of these types that the filter agrees with and that were not used for `unusedFor`, the least recently used go until all of
 * the types take at most `keepBytes` and `minFree` is free on the file system, but not below `reservedBytes`; without a bound all of them go.
 */
export interface CollectRule {
  /** Default: record and mount. Images go only when they are named here. */
  readonly types?: readonly Candidate['type'][]
  /** Milliseconds. */
  readonly unusedFor?: number
  readonly keepBytes?: number
  readonly minFree?: number
  readonly reservedBytes?: number
  readonly filter?: (item: Candidate) => boolean
}

export interface Selection {
  readonly kept: readonly Candidate[]
  /** Oldest use last. */
  readonly removed: readonly Collectable[]
}

export interface Facts {
  readonly sizes: ReadonlyMap<LayerId, number>
  /** Layers that stay in any case: of running builds. */
  readonly pinned: ReadonlySet<LayerId>
  /** Free bytes of the file system. */
  readonly free: number
  /** Milliseconds. */
  readonly now: number
}

const DEFAULT_TYPES: readonly Candidate['type'][] = ['record', 'mount']

/** Applies the rules in order. Pure: decides, and touches nothing. */
export function selectCollectable(candidates: readonly Candidate[], rules: readonly CollectRule[], facts: Facts): Selection {
  let kept = [...candidates].sort((a, b) => Date.parse(b.lastUsed) - Date.parse(a.lastUsed))
  const removed: Candidate[] = []
  let { free } = facts
  for (const rule of rules) {
    const before = bytesOf(kept, facts)
    const going = new Set(selectByRule(kept, rule, { ...facts, free }))
    removed.push(...kept.filter((item) => going.has(item)))
    kept = kept.filter((item) => !going.has(item))
    free += before - bytesOf(kept, facts)
  }
  return { kept, removed: describe(kept, removed, facts) }
}

function selectByRule(items: readonly Candidate[], rule: CollectRule, facts: Facts): Candidate[] {
  const types = rule.types ?? DEFAULT_TYPES
  const concerned = items.filter(({ type }) => types.includes(type))
  const mayGo = (item: Candidate) => {
    const age = facts.now - Date.parse(item.lastUsed)
    return !item.inUse && age >= (rule.unusedFor ?? 0) && (rule.filter?.(item) ?? true)
  }
  const meter = new Meter(
    items.filter((item) => !types.includes(item.type)),
    facts,
  )
  const budget = budgetOf(rule, new Meter(meter.outside, facts).addAll(concerned).bytes, facts.free)
  for (const item of concerned) if (!mayGo(item)) meter.add(item)
  const going: Candidate[] = []
  // Newest first: one that shares its layers with what stays costs nothing and stays, too.
  for (const item of concerned.filter(mayGo)) {
    if (budget !== undefined && meter.bytes + meter.cost(item) <= budget) meter.add(item)
    else going.push(item)
  }
  return going
}

/** Undefined: nothing that matches stays. */
function budgetOf(rule: CollectRule, total: number, free: number): number | undefined {
  const bounds = [rule.keepBytes, rule.minFree === undefined ? undefined : total - Math.max(0, rule.minFree - free)]
  const given = bounds.filter((bound) => bound !== undefined)
  if (given.length === 0) return undefined
  return Math.max(rule.reservedBytes ?? 0, Math.min(...given))
}

/** Bytes of things that stay, layers counted once; those that others need in any case are not theirs. */
class Meter {
  readonly outside: readonly Candidate[]
  readonly #facts: Facts
  readonly #counted: Set<LayerId>
  bytes = 0

  constructor(outside: readonly Candidate[], facts: Facts) {
    this.outside = outside
    this.#facts = facts
    this.#counted = new Set([...facts.pinned, ...outside.flatMap(({ layers }) => layers)])
  }

  cost({ layers, own }: Candidate): number {
    const fresh = [...new Set(layers)].filter((id) => !this.#counted.has(id))
    return fresh.reduce((sum, id) => sum + (this.#facts.sizes.get(id) ?? 0), own)
  }

  add(item: Candidate): number {
    const cost = this.cost(item)
    for (const id of item.layers) this.#counted.add(id)
    this.bytes += cost
    return cost
  }

  addAll(items: readonly Candidate[]): this {
    for (const item of items) this.add(item)
    return this
  }
}

function bytesOf(items: readonly Candidate[], facts: Facts): number {
  return new Meter([], facts).addAll(items).bytes
}

function describe(kept: readonly Candidate[], removed: readonly Candidate[], facts: Facts): Collectable[] {
  const meter = new Meter(kept, facts)
  return removed.map((item) => {
    const { type, id, lastUsed, name } = item
    return { type, id, size: meter.add(item), lastUsed, ...(name === undefined ? {} : { name }) }
  })
}
