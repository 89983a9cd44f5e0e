import type { BuildEvent } from '../../base/events.ts'
import type { Verdict } from '../../base/explanation.ts'
import { onInterrupt } from '../interrupts.ts'
import { buildOptions } from '../options/build.ts'
import type { ExplainFlags, Io } from '../program.ts'
import { buildInUserNamespace } from '../rootless.ts'
import { oneLine } from '../text.ts'
import { usage } from '../usage.ts'
import { verdictLines } from '../verdict.ts'

type Step = Extract<BuildEvent, { type: 'vertex' }> & { verdict: Verdict }

/** `tbuild explain` and `tbuild build --dry-run`: what a build would take from the cache and what it would run, on standard output. */
export async function explainCommand(
  context: string,
  flags: ExplainFlags,
  { io, args }: { io: Io; args: readonly string[] },
): Promise<number> {
  const options = buildOptions(context, flags, io.env)
  const format = flags.format ?? 'text'
  if (format !== 'text' && format !== 'json') throw usage(`--format ${format} is not known`, 'formats are text and json')
  const inside = await buildInUserNamespace(args, io, () => {})
  if (inside !== undefined) return inside
  const report = new ExplainReport()
  const interrupt = onInterrupt((text) => io.stderr.write(`${text}\n`))
  try {
    const readsStdin = context === '-' || options.file === '-'
    const { plan } = await import('../../plan.ts')
    const hooks = { onEvent: (event: BuildEvent) => report.event(event), signal: interrupt.signal }
    await plan(readsStdin ? { ...options, stdin: io.stdin } : options, hooks)
  } finally {
    interrupt.release()
  }
  if (!flags.quiet) io.stdout.write(format === 'json' ? `${JSON.stringify(report.json(), null, 2)}\n` : report.text())
  return flags.failOnMiss && report.count('hit') < report.steps().length ? 1 : 0
}

/** Gathers the verdicts of one or, with several platforms, one after the other of several graphs. */
export class ExplainReport {
  readonly #graphs: Map<string, Extract<BuildEvent, { type: 'vertex' }> & { verdict?: Verdict }>[] = []

  event(event: BuildEvent): void {
    if (event.type === 'vertex') {
      // The ids of each graph begin anew.
      if (this.#graphs.at(-1)?.has(event.id) ?? true) this.#graphs.push(new Map())
      this.#graphs.at(-1)?.set(event.id, { ...event })
    } else if (event.type === 'explain') {
      const step = this.#graphs.at(-1)?.get(event.id)
      if (step !== undefined) step.verdict = event.verdict
    }
  }

  /** In the order of the Dockerfile; what the build does not look at is left out. */
  steps(): Step[] {
    return this.#graphs.flatMap((graph) => [...graph.values()].filter((step): step is Step => step.verdict !== undefined))
  }

  count(state: Verdict['state']): number {
    return this.steps().filter(({ verdict }) => verdict.state === state).length
  }

  text(): string {
    const lines = this.#graphs.flatMap((graph) => {
      const nameOf = (id: string) => oneLine(graph.get(id)?.name ?? id)
      return [...graph.values()].flatMap(({ name, verdict }) =>
        verdict === undefined
          ? []
          : [
              `${verdict.state.toUpperCase().padEnd(8)} ${oneLine(name)}`,
              ...verdictLines(verdict, nameOf).map((line) => `         ${line}`),
            ],
      )
    })
    const [hits, misses, unknown] = [this.count('hit'), this.count('miss'), this.count('unknown')]
    const total = hits + misses + unknown
    const counts = [`${hits} from the cache`, `${misses} to run`, ...(unknown === 0 ? [] : [`${unknown} unknown`])]
    return `${[...lines, '', `${total} ${total === 1 ? 'step' : 'steps'}: ${counts.join(', ')}`].join('\n')}\n`
  }

  /** docs/explain.md, "JSON". */
  json(): Record<string, unknown> {
    return {
      version: 1,
      hits: this.count('hit'),
      misses: this.count('miss'),
      unknown: this.count('unknown'),
      steps: this.steps().map(({ id, name, stage, span, verdict }) => ({
        id,
        name,
        ...(stage === undefined ? {} : { stage }),
        ...(span === undefined ? {} : { file: span.file.name, line: span.start.line }),
        ...verdict,
      })),
    }
  }
}
