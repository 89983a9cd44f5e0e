import type { Io } from './io.ts'
import { normalizeArguments } from './options/arguments.ts'
import { call } from './options/call.ts'
import { asUsage, type Handlers, isInformation, program } from './program.ts'
import { reportError } from './report.ts'
import { storeHandlers } from './store-handlers.ts'
import { version } from './version.ts'

/** Runs the command line and returns the exit status. Everything heavy is imported by the command that needs it. */
export async function main(args: readonly string[], io: Io): Promise<number> {
  let status = 0
  try {
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
    const command = program(version(), handlers, (result) => {
      status = result
    })
    await command.parseAsync(normalized, { from: 'user' })
    return status
  } catch (error) {
    if (isInformation(error)) return 0
    return reportError(asUsage(error), io)
  }
}
