import { errorEvent } from '../../base/error-event.ts'
import type { BuildEvent } from '../../base/events.ts'
import type { BuildHooks, BuildOptions } from '../../build-options.ts'
import { escapeLikeGo } from '../../go/json.ts'
import { onInterrupt } from '../interrupts.ts'
import type { Io } from '../io.ts'
import { buildOptions } from '../options/build.ts'
import type { Call } from '../options/call.ts'
import type { BuildCommandFlags } from '../program.ts'
import { openDisplay, progressMode } from '../progress/display.ts'
import { warningLines } from '../progress/warnings.ts'
import type { Answer } from './answer.ts'

type Ask = (options: BuildOptions, hooks: BuildHooks) => Promise<Answer>

const ASK: Readonly<Record<Exclude<Call['method'], 'build'>, () => Promise<{ answer: Ask }>>> = {
  check: () => import('./check.ts'),
  outline: () => import('./outline.ts'),
  targets: () => import('./targets.ts'),
}

/** `tbuild build --call=…` and `--check`: the answer goes to standard output, progress and warnings to stderr. Nothing is run, so nobody need be root. */
export async function callCommand(
  context: string,
  flags: BuildCommandFlags,
  { method, json, ignoreStatus }: Call,
  io: Io,
): Promise<number> {
  if (method === 'build') throw new Error('a build is no question')
  const options = buildOptions(context, flags, io.env)
  const mode = progressMode(flags.progress, flags.quiet ?? false, io.stderr, io.env)
  const display = await openDisplay(mode, io.stderr, io.env)
  const interrupt = onInterrupt((text) => display.event({ type: 'notice', message: text }), io.lost)
  const warnings: Extract<BuildEvent, { type: 'warning' }>[] = []
  const onEvent = (event: BuildEvent) => {
    if (event.type === 'warning') warnings.push(event)
    else if (event.type !== 'error') display.event(event)
    return io.stderr.drained()
  }
  try {
    const { answer: ask } = await ASK[method]()
    const readsStdin = context === '-' || options.file === '-'
    const asked = ask(readsStdin ? { ...options, stdin: io.stdin } : options, { onEvent, signal: interrupt.signal })
    const answer = await asked.finally(() => display.close(true))
    io.stdout.write(json ? `${escapeLikeGo(JSON.stringify(answer.json(), null, 2))}\n` : answer.text())
    if (answer.error !== undefined) throw answer.error
    return ignoreStatus ? 0 : answer.status
  } catch (error) {
    display.event(errorEvent(error))
    throw error
  } finally {
    interrupt.release()
    if (warnings.length > 0 && mode !== 'quiet') io.stderr.write(`\n${warningLines(warnings).join('\n')}\n`)
  }
}
