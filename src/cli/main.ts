import { errorCode, systemError } from '../base/errors.ts'
import { surviveHangUp } from './hang-up.ts'
import { exitSoon } from './interrupts.ts'
import { type Io, lostOutput, openIo, type Streams } from './io.ts'
import { normalizeArguments } from './options/arguments.ts'
import { call } from './options/call.ts'
import { requireUtf8 } from './options/utf8.ts'
import { asUsage, type Handlers, isInformation, program } from './program.ts'
import { reportError } from './report.ts'
import { storeHandlers } from './store-handlers.ts'
import { version } from './version.ts'

/**
 * Runs the command line and returns the exit status, when everything that was printed has been taken. Everything heavy is imported by the command that
 * needs it.
 */
export async function main(args: readonly string[], streams: Streams): Promise<number> {
  surviveHangUp()
  const io = openIo(streams)
  const status = await run(args, io)
  const lost = await lostOutput(io)
  if (lost === undefined) return status
  return 'status' in lost ? lost.status : reportError(lost.error, io)
}

async function run(args: readonly string[], io: Io): Promise<number> {
  let status = 0
  try {
    requireUtf8(args, io.env)
    const normalized = normalizeArguments(args)
    const handlers: Handlers = {
      build: async (context, flags) => {
        const asked = call(flags)
        if (asked.method !== 'build') return (await import('./commands/call.ts')).callCommand(context, flags, asked, io)
        return (await import('./commands/build.ts')).buildCommand(context, flags, { io, args: normalized })
      },
      explain: async (context, flags) => (await import('./commands/explain.ts')).explainCommand(context, flags, { io, args: normalized }),
      images: async (flags) => (await import('./commands/images.ts')).imagesCommand(flags, io),
      inspect: async (image, flags) => (await import('./commands/inspect.ts')).inspectCommand(image, flags, io),
      history: async (image, flags) => (await import('./commands/history.ts')).historyCommand(image, flags, io),
      ...storeHandlers(io, normalized),
    }
    const done = (result: number) => {
      status = result
    }
    await program(version(), handlers, { done, print: (text) => io.stdout.write(text) }).parseAsync(normalized, { from: 'user' })
    return status
  } catch (error) {
    if (isInformation(error)) return 0
    // It ended for want of a reader: that is told by itself.
    if (io.lost.aborted && ['CANCELED', 'OUTPUT_WRITE'].includes(errorCode(error) ?? '')) return 1
    status = reportError(systemError(asUsage(error)), io)
    if (errorCode(error) === 'CANCELED') exitSoon(status)
    return status
  }
}
