import { execFileSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Load } from './loads/load.ts'
import { LOADS } from './loads/table.ts'
import { machineOf } from './machine.ts'
import { type BenchOptions, benchOptions, USAGE, UsageError } from './options.ts'
import type { Peer } from './peers/builder.ts'
import { findPeers, PEERS } from './peers/find.ts'
import { tbuildPeer } from './peers/tbuild.ts'
import { pushLayout, startRegistry } from './registry.ts'
import { withTable } from './report/document.ts'
import { markdown } from './report/markdown.ts'
import { plot } from './report/plot.ts'
import type { Builder, Case, Report } from './result.ts'
import { root } from './root.ts'
import { Interrupted, Runner } from './run.ts'
import { type Ground, Site } from './site.ts'
import { SUBJECT } from './statistics.ts'

const settle = () => void execFileSync('sync')
const say = (line: string) => console.error(line)

/** Returns the exit status. */
export async function main(args: readonly string[]): Promise<number> {
  try {
    const options = benchOptions(args, process.env, { loads: LOADS.map(({ name }) => name), peers: PEERS })
    if (options.action === 'help') console.log(USAGE)
    else if (options.action === 'list') for (const load of LOADS) console.log(described(load))
    else return await measure(options)
    return 0
  } catch (error) {
    if (error instanceof Interrupted) return 130
    if (!(error instanceof UsageError)) throw error
    console.error(`${error.message}\n\n${USAGE}`)
    return 2
  }
}

function described({ name, about, amounts, unit }: Load): string {
  const { quick, small, large } = amounts
  return `${name.padEnd(16)} ${about}; ${small.toLocaleString('en')} and ${large.toLocaleString('en')} ${unit} (quick: ${quick.toLocaleString('en')})`
}

async function measure(options: BenchOptions): Promise<number> {
  const interrupt = new AbortController()
  const stop = () => interrupt.abort()
  process.on('SIGINT', stop).on('SIGTERM', stop)
  // On disk also where /tmp is none: TMPDIR says where.
  const work = mkdtempSync(join(tmpdir(), 'tbuild-bench-'))
  const runner = new Runner(join(work, 'run'), options.timeout, interrupt.signal)
  try {
    const report = await measureIn(work, options, runner)
    return report.cases.some(({ outcomes }) => outcomes[SUBJECT]?.failure !== undefined) ? 1 : 0
  } finally {
    // Last: for half a minute after so many deletions new files cost more.
    rmSync(work, { recursive: true, force: true })
    process.off('SIGINT', stop).off('SIGTERM', stop)
  }
}

async function measureIn(work: string, options: BenchOptions, runner: Runner): Promise<Report> {
  const cleaner = new Runner(join(work, 'cleaning'), options.timeout, new AbortController().signal)
  const builders = await findBuilders(work, options, runner)
  const registry =
    options.registry === undefined ? await startRegistry(work) : { host: options.registry, version: 'given', close: async () => {} }
  const mark = `${process.pid}-${Date.now().toString(36)}`
  const machine = { ...machineOf(work, new Date()), registry: registry.version }
  const ground = { builders, runner, cleaner, rounds: options.rounds, registry: registry.host, settle, say, mark }
  const sites: Site[] = []
  try {
    const layout = execFileSync(process.execPath, [join(root, 'scripts/busybox-layout.mjs')], { encoding: 'utf8' }).trim()
    const busybox = await pushLayout(registry.host, 'tbuild-bench/busybox', layout, mark)
    await measureLoads(work, options, { ...ground, busybox }, sites, (cases) => write(options, reportOf(machine, options, builders, cases)))
    const report = reportOf(
      machine,
      options,
      builders,
      sites.flatMap(({ cases }) => cases),
    )
    if (options.document !== undefined) writeFileSync(options.document, withTable(readFileSync(options.document, 'utf8'), markdown(report)))
    console.log(markdown(report))
    return report
  } finally {
    for (const site of sites) await site.close()
    if (options.isPruning) for (const builder of builders) await cleaner.inTurn(builder.prune()).catch((error: Error) => say(error.message))
    await registry.close()
  }
}

async function findBuilders(work: string, { checkouts, prefix, peers }: BenchOptions, runner: Runner): Promise<readonly Peer[]> {
  const ours = [tbuildPeer(SUBJECT, root), ...[...checkouts].map(([name, folder]) => tbuildPeer(name, folder))]
  // Who compares checkouts asks for other builders by name.
  const wanted = peers ?? (checkouts.size > 0 ? [] : PEERS)
  return [...ours, ...(await findPeers({ runner, prefix, folder: work, say }, wanted))]
}

/** `keep` is told what there is after each load, so that a bench which is ended has something to show. */
async function measureLoads(work: string, options: BenchOptions, ground: Ground, sites: Site[], keep: (cases: readonly Case[]) => void) {
  for (const load of LOADS.filter(({ name }) => options.loads.length === 0 || options.loads.includes(name)))
    for (const size of options.sizes) {
      const site = new Site(ground, load, load.amounts[size], join(work, `${load.name}-${size}`))
      sites.push(site)
      await load.measure(site)
      keep(sites.flatMap(({ cases }) => cases))
    }
}

function reportOf(machine: Report['machine'], { rounds }: BenchOptions, builders: readonly Builder[], cases: readonly Case[]): Report {
  const plain = builders.map(({ name, version, isPeer, notes }) => ({ name, version, isPeer, notes }))
  return { machine, rounds, builders: plain, cases }
}

function write({ output }: BenchOptions, report: Report): void {
  mkdirSync(output, { recursive: true })
  writeFileSync(join(output, 'bench.json'), `${JSON.stringify(report, undefined, 2)}\n`)
  writeFileSync(join(output, 'bench.md'), markdown(report))
  writeFileSync(join(output, 'bench.svg'), plot(report))
}
