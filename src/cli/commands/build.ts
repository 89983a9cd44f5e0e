import { endingWithError, errorEvent } from '../../base/error-event.ts'
import { errorCode, systemError, TbuildError } from '../../base/errors.ts'
import type { BuildEvent } from '../../base/events.ts'
import type { BuildHooks, BuildOptions, BuildResult } from '../../build-options.ts'
import { removeResult, writeResult } from '../files.ts'
import { CANCELED_STATUS, onInterrupt } from '../interrupts.ts'
import type { Io } from '../io.ts'
import { metadataWarnings } from '../metadata-warnings.ts'
import { buildOptions } from '../options/build.ts'
import { cannotWrite, type Output } from '../output.ts'
import { type BuildCommandFlags, ignoredOptions } from '../program.ts'
import { openDisplay, type ProgressMode, progressMode } from '../progress/display.ts'
import { buildInUserNamespace } from '../rootless.ts'
import { usage } from '../usage.ts'

/** `tbuild build`: builds, shows progress on stderr, writes the result files; returns the exit status. */
export async function buildCommand(
  context: string,
  flags: BuildCommandFlags,
  { io, args }: { io: Io; args: readonly string[] },
): Promise<number> {
  const options = { ...buildOptions(context, flags, io.env), ...(flags.explain ? { explain: true } : {}) }
  const mode = progressMode(flags.progress, flags.quiet ?? false, io.stderr, io.env)
  refuseConflicts(options, flags, mode, io)
  const display = await openDisplay(mode, io.stderr, io.env)
  const notice = (message: string) => display.event({ type: 'notice', message })
  const inside = await endingWithError(
    (event) => display.event(event),
    () => buildInUserNamespace(args, io, { notice, isolation: options.isolation }),
  )
  if (inside !== undefined) {
    display.close(true)
    return inside
  }
  const interrupt = onInterrupt(notice, io.lost)
  let failed = true
  const warnings: Extract<BuildEvent, { type: 'warning' }>[] = []
  try {
    if (flags.iidfile) await removeResult(flags.iidfile)
    for (const message of ignoredOptions(args, io.env)) display.event({ type: 'warning', rule: 'IgnoredOption', message })
    const readsStdin = context === '-' || options.file === '-'
    const hooks: BuildHooks = {
      onEvent: (event) => {
        if (event.type === 'warning') warnings.push(event)
        // The command may fail with more than the build: its own comes last.
        if (event.type !== 'error') display.event(event)
        return io.stderr.drained()
      },
      signal: interrupt.signal,
      stdout: (data) => writeArchive(io.stdout, data),
    }
    const { build } = await import('../../build.ts')
    const result = await build(readsStdin ? { ...options, stdin: io.stdin } : options, hooks)
    failed = false
    await writeResults(result, flags, metadataWarnings(warnings, io.env))
    display.close(false)
    if (printsId(flags) && !writesToStdout(options)) io.stdout.write(`${result.iid}\n`)
    return 0
  } catch (caught) {
    const error = canceledOr(caught, interrupt.signal)
    display.event(errorEvent(error))
    display.close(failed)
    throw error
  } finally {
    interrupt.release()
  }
}

function canceledOr(error: unknown, { aborted }: AbortSignal): unknown {
  const code = errorCode(error)
  if (code !== 'CANCELED' && !(aborted && code === 'ABORT_ERR')) return systemError(error)
  return new TbuildError('CANCELED', 'the build was canceled', { exitCode: CANCELED_STATUS })
}

/** Not where quiet comes from the environment, or is `none`: as docker's. */
function printsId({ quiet, progress }: BuildCommandFlags): boolean {
  return quiet === true || progress === 'quiet'
}

function writesToStdout({ outputs = [] }: BuildOptions): boolean {
  return outputs.some((output) => 'dest' in output && output.dest === '-')
}

function refuseConflicts(options: BuildOptions, flags: BuildCommandFlags, mode: ProgressMode, io: Io): void {
  if (flags.iidfile && options.outputs?.some(({ type }) => type === 'local' || type === 'tar')) {
    throw usage('local and tar exporters are incompatible with image ID file')
  }
  if (writesToStdout(options) && io.stdout.isTTY)
    throw usage('refusing to write an archive to the terminal', 'redirect standard output, or name a file with dest=')
  if (flags.explain && mode === 'quiet') throw usage('quiet progress and --explain cannot both be used', 'use `tbuild explain`')
}

async function writeResults(result: BuildResult, flags: BuildCommandFlags, warnings: object): Promise<void> {
  if (flags.iidfile) await writeResult(flags.iidfile, result.iid)
  if (flags.metadataFile) await writeResult(flags.metadataFile, `${JSON.stringify({ ...warnings, ...result.metadata }, null, 2)}\n`)
}

/** Waits for the reader: an archive is larger than memory. */
async function writeArchive(stdout: Output, data: Uint8Array): Promise<void> {
  stdout.write(data)
  await stdout.drained()
  if (stdout.failure !== undefined) throw cannotWrite('standard output', stdout.failure)
}
