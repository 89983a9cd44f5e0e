import type { Command } from 'commander'
import type { VerifyFlags } from './commands/verify-store.ts'

/** The commands that look after the store; each is one file, loaded when it is asked for. */
export interface StoreHandlers {
  verifyStore(flags: VerifyFlags): Promise<number>
}

export function addStoreCommands(top: Command, handlers: StoreHandlers, done: (status: number) => void): void {
  const verify = top
    .command('verify-store')
    .description('read everything in the store, and forget what is damaged')
    .option('--check-only', 'change nothing; exit status 1 when something is damaged')
  onStore(verify).action(async (flags: VerifyFlags) => done(await handlers.verifyStore(flags)))
}

function onStore(command: Command): Command {
  return command
    .option('--format <format>', 'table or json', 'table')
    .option('--root <dir>', 'the store (default: $TBUILD_ROOT, /var/lib/tbuild, or $XDG_DATA_HOME/tbuild)')
    .allowExcessArguments(false)
}
