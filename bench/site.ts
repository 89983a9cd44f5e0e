import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { ArchivedImage, expectEqual, layersOf } from './check.ts'
import { writeContext } from './content.ts'
import type { Build, Commands, Peer } from './peers/builder.ts'
import type { Case, Goal, Outcome, Sample } from './result.ts'
import { Failure, type Runner } from './run.ts'

/** Commands that are started at once, instead of in turn. */
interface AtOnce {
  readonly atOnce: Commands
}

/** What is measured. Round 0 is the warm-up, which is not counted. */
export interface Measurement {
  readonly name: string
  readonly goal?: Goal
  /** Before each round, for all builders. */
  readonly prepare?: (round: number) => void | Promise<void>
  /** Undefined: this builder cannot do it. */
  readonly run: (builder: Peer, round: number) => Commands | AtOnce | undefined
  /** Throws Failure when the result is wrong. */
  readonly check: (builder: Peer, round: number) => Promise<void>
}

export interface Ground {
  readonly builders: readonly Peer[]
  readonly runner: Runner
  /** For what must be done when the bench has been ended, too. */
  readonly cleaner: Runner
  readonly rounds: number
  /** A base image in the registry. */
  readonly busybox: string
  /** `host:port` */
  readonly registry: string
  /** Before each run: what the one before has written must not be written out in this one's time. */
  readonly settle: () => void
  readonly say: (line: string) => void
  /** Makes names differ from those of any other run. */
  readonly mark: string
}

/** Where one load is measured with one amount: its folder, and the builders with a store each. */
export class Site {
  readonly ground: Ground
  readonly folder: string
  readonly amount: number
  readonly cases: Case[] = []
  readonly #load: { readonly name: string; readonly unit: string }
  readonly #tags = new Map<Peer, Set<string>>()

  constructor(ground: Ground, load: { readonly name: string; readonly unit: string }, amount: number, folder: string) {
    this.ground = ground
    this.folder = folder
    this.amount = amount
    this.#load = load
    mkdirSync(folder, { recursive: true })
  }

  path(name: string): string {
    return join(this.folder, name)
  }

  context(name: string, dockerfile: string, files: Readonly<Record<string, string>> = {}): string {
    return writeContext(this.path(name), dockerfile, files)
  }

  /** Each builder's own output file. */
  archive(builder: Peer): string {
    return this.path(`${builder.name}.tar`)
  }

  tag(builder: Peer, suffix = ''): string {
    return this.#kept(builder, `localhost/tbuild-bench/${this.ground.mark}/${this.#load.name}${suffix}:latest`)
  }

  /** A name that the builder's store will have, until the end. */
  #kept(builder: Peer, tag: string): string {
    this.#tags.set(builder, (this.#tags.get(builder) ?? new Set()).add(tag))
    return tag
  }

  /** A build whose image stays in the builder's store. */
  store(builder: Peer, context: string, more: Partial<Build> = {}): Commands {
    return this.#build(builder, { context, tag: this.tag(builder), output: { kind: 'store' }, ...more })
  }

  /** A build that writes an OCI archive, over the one of the round before. */
  export(builder: Peer, context: string, more: Partial<Build> = {}): Commands {
    return this.#build(builder, { context, tag: this.tag(builder), output: { kind: 'archive', file: this.archive(builder) }, ...more })
  }

  push(builder: Peer, context: string, reference: string): Commands {
    return this.#build(builder, { context, tag: this.tag(builder), output: { kind: 'push', reference: this.#kept(builder, reference) } })
  }

  #build(builder: Peer, build: Build): Commands {
    return builder.build(build, this.storeOf(builder))
  }

  /** The store of a builder without a daemon. */
  storeOf(builder: Peer): string {
    return this.path(`store-${builder.name}`)
  }

  async expectLayers(builder: Peer, expected: number, tag = this.tag(builder)): Promise<void> {
    const inspected = await this.inspected(builder, tag)
    if (inspected !== undefined) expectEqual('layers', layersOf(inspected), expected)
  }

  /** What a builder says of an image in its store; undefined where it keeps none. */
  async inspected(builder: Peer, tag = this.tag(builder)): Promise<string | undefined> {
    const inspect = builder.inspect(tag, this.storeOf(builder))
    return inspect === undefined ? undefined : this.ground.runner.output(inspect)
  }

  exported(builder: Peer): ArchivedImage {
    return new ArchivedImage(this.ground.runner, this.archive(builder))
  }

  async expectFiles(builder: Peer, expected: number): Promise<void> {
    expectEqual('files', await this.exported(builder).countFiles(), expected)
  }

  async expectFilesOnTop(builder: Peer, expected: number): Promise<void> {
    expectEqual('files of the uppermost layer', await this.exported(builder).countFilesOnTop(), expected)
  }

  async expectBeginning(builder: Peer, path: string, expected: string): Promise<void> {
    expectEqual(path, await this.exported(builder).beginning(path, expected.length), expected)
  }

  async expectSize(builder: Peer, path: string, bytes: number): Promise<void> {
    expectEqual(`bytes of ${path}`, await this.exported(builder).size(path), bytes)
  }

  /** Runs it with every builder in turn, another one first in each round. */
  async measure(measurement: Measurement): Promise<void> {
    const taking = new Map(
      this.ground.builders.map((builder) => [builder, { samples: [] as Sample[], failure: undefined as string | undefined }]),
    )
    for (let round = 0; round <= this.ground.rounds; round += 1) {
      await measurement.prepare?.(round)
      for (const builder of turned(this.ground.builders, round)) {
        const outcome = taking.get(builder)
        if (outcome === undefined || outcome.failure !== undefined) continue
        const sample = await this.#attempt(measurement, builder, round)
        if (typeof sample === 'string') outcome.failure = sample
        else if (sample === undefined) taking.delete(builder)
        else if (round > 0) outcome.samples.push(sample)
      }
    }
    const outcomes = Object.fromEntries(
      [...taking].map(([{ name }, { samples, failure }]): [string, Outcome] => [
        name,
        failure === undefined ? { samples } : { samples, failure },
      ]),
    )
    const { name, goal } = measurement
    this.cases.push({ load: this.#load.name, name, amount: this.amount, unit: this.#load.unit, goal, outcomes })
  }

  /** A sample, why there is none, or undefined when the builder cannot do it. */
  async #attempt({ name, run, check }: Measurement, builder: Peer, round: number): Promise<Sample | string | undefined> {
    const work = run(builder, round)
    if (work === undefined) return undefined
    try {
      const sample = await this.#timed(builder, work)
      await check(builder, round)
      this.ground.say(
        `${this.#load.name} ${name} ${this.amount} ${round === 0 ? 'warm-up' : `round ${round}`} ${builder.name} ${sample.seconds.toFixed(2)} s`,
      )
      return sample
    } catch (error) {
      if (!(error instanceof Failure)) throw error
      this.ground.say(`${this.#load.name} ${name} ${this.amount} ${builder.name} failed: ${error.message}`)
      return error.message
    }
  }

  async #timed({ daemon, overhead }: Peer, work: Commands | AtOnce): Promise<Sample> {
    this.ground.settle()
    daemon?.resetPeaks()
    const before = daemon?.processors() ?? 0
    const { runner } = this.ground
    const used = 'atOnce' in work ? await runner.together(work.atOnce) : await runner.inTurn(work)
    const [waits, starts] = 'atOnce' in work ? [1, work.atOnce.length] : [work.length, work.length]
    return {
      seconds: used.seconds - waits * overhead.seconds,
      processors: Math.max(0, used.processors - starts * overhead.processors),
      memory: used.memory,
      ...(daemon === undefined ? {} : { daemon: { processors: daemon.processors() - before, memory: daemon.memory() } }),
    }
  }

  /** Removes the images that were left in stores which are not in the folder. */
  async close(): Promise<void> {
    for (const [builder, tags] of this.#tags) {
      // Those of a build that failed are not there.
      for (const tag of tags) await this.ground.cleaner.inTurn(builder.remove([tag])).catch(() => {})
    }
  }
}

function turned<T>(values: readonly T[], by: number): T[] {
  return values.map((_, index) => values[(index + by) % values.length] as T)
}
