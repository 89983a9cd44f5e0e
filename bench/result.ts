/** What one run of a builder took. */
export interface Sample {
  /** Of the clock. */
  readonly seconds: number
  /** Seconds of processors of the command and what it started. */
  readonly processors: number
  /** Bytes of the largest process of the command. */
  readonly memory: number
  /** The same of the builder's daemon, where it has one that can be read: its processes together. */
  readonly daemon?: { readonly processors: number; readonly memory: number }
}

/** A builder in a case: its runs, and why there are no more of them. */
export interface Outcome {
  readonly samples: readonly Sample[]
  readonly failure?: string
}

/** What issue 10 asks for: ratios of tbuild's median to another one's. */
export interface Goal {
  /** To the best of the peers. */
  readonly best?: number
  /** To docker. */
  readonly docker?: number
}

/** One thing that was measured. */
export interface Case {
  readonly load: string
  readonly name: string
  /** How much of `unit` it was. */
  readonly amount: number
  readonly unit: string
  readonly goal: Goal | undefined
  /** By the builder's name. */
  readonly outcomes: Readonly<Record<string, Outcome>>
}

export interface Builder {
  readonly name: string
  readonly version: string
  /** Other checkouts of tbuild are compared with, but are nobody's peer. */
  readonly isPeer: boolean
  /** What a reader must know of how it is measured. */
  readonly notes: readonly string[]
}

export interface Report {
  readonly machine: Readonly<Record<string, string>>
  readonly rounds: number
  readonly builders: readonly Builder[]
  readonly cases: readonly Case[]
}
