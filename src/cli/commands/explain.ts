import type { BuildEvent } from '../../base/events.ts'
import type { Verdict } from '../../base/explanation.ts'
import { onInterrupt } from '../interrupts.ts'
import type { Io } from '../io.ts'
import { buildOptions } from '../options/build.ts'
import type { ExplainFlags } from '../program.ts'
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
  if (format !== 'text' && format !== 'json') throw usage(`--format ${format || '""'} is not known`, 'formats are text and json')
  const inside = await buildInUserNamespace(args, io, { notice: () => {}, isolation: options.isolation })
  if (inside !== undefined) return inside
  const report = new ExplainReport()
  const interrupt = onInterrupt((text) => io.stderr.write(`${text}\n`), io.lost)
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

/** Gathers the verdicts of all steps. */
export class ExplainReport {
  readonly #vertices = new Map<string, Extract<BuildEvent, { type: 'vertex' }> & { verdict?: Verdict }>()

  event(event: BuildEvent): void {
    if (event.type === 'vertex') this.#vertices.set(event.id, { ...event })
    if (event.type !== 'explain') return
    const vertex = this.#vertices.get(event.id)
    if (vertex !== undefined) vertex.verdict = event.verdict
  }

  /** In the order of the Dockerfile; what the build does not look at is left out. */
  steps(): Step[] {
    return [...this.#vertices.values()].filter((vertex): vertex is Step => vertex.verdict !== undefined)
  }

  count(state: Verdict['state']): number {
    return this.steps().filter(({ verdict }) => verdict.state === state).length
  }

  text(): string {
    const nameOf = (id: string) => oneLine(this.#vertices.get(id)?.name ?? id)
    const lines = this.steps().flatMap(({ name, verdict }) => [
      `${verdict.state.toUpperCase().padEnd(8)} ${oneLine(name)}`,
      ...verdictLines(verdict, nameOf).map((line) => `         ${line}`),
    ])
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
