import type { Command } from 'commander'
import type { CacheAction, CacheFlags } from './commands/cache.ts'
import type { DuFlags } from './commands/du.ts'
import type { PruneCommandFlags } from './commands/prune.ts'
import type { VerifyFlags } from './commands/verify-store.ts'
import { tableOrJson } from './options/format.ts'

/** The commands that look after the store; each is one file, loaded when it is asked for. */
export interface StoreHandlers {
  verifyStore(flags: VerifyFlags): Promise<number>
  du(flags: DuFlags): Promise<number>
  prune(flags: PruneCommandFlags): Promise<number>
  cache(action: CacheAction, directory: string | undefined, flags: CacheFlags): Promise<number>
}

export type Done = (status: number) => void
/** Says of a command what it takes and does. */
export type Describe = (command: Command) => void
/** Has a command described when it is asked for. */
type Later = (command: Command, describe: Describe) => void

const collect = (value: string, previous: string[]): string[] => [...previous, value]

const PRUNE_HELP = `
Without a filter or a bound the policy of the store decides (gc.json in it). What nothing refers to always goes; what a running build uses never does.
Images go only with --filter type=image.

Examples:
  tbuild prune --dry-run
  tbuild prune --filter unused-for=168h --keep-storage 20GB
  tbuild prune --all`

export function addStoreCommands(top: Command, later: Later, handlers: StoreHandlers, done: Done): void {
  later(top.command('verify-store'), (verify) => {
    verify
      .description('read everything in the store, and forget what is damaged')
      .option('--check-only', 'change nothing; exit status 1 when something is damaged')
    onStore(verify).action(async (flags: VerifyFlags) => done(await handlers.verifyStore(flags)))
  })
  later(top.command('du'), (du) => {
    du.description('print what takes space in the store').option(
      '--by <what>',
      'type, image, record, line (of a Dockerfile) or mount',
      'type',
    )
    onStore(du).action(async (flags: DuFlags) => done(await handlers.du(flags)))
  })
  later(top.command('prune'), (prune) => addPrune(prune, handlers, done))
  later(top.command('cache'), (cache) => addCacheCommands(cache, handlers, done))
}

function addPrune(prune: Command, handlers: StoreHandlers, done: Done): void {
  prune
    .description('remove cache records, cache mounts and what nothing needs')
    .option('--filter <test>', 'until=TIME|AGE, unused-for=AGE, type=record|mount|image, id=ID; all must agree', collect, [])
    .option('--keep-storage <bytes>', 'remove the least recently used until the rest takes at most this much')
    .option('--min-free <bytes>', 'remove the least recently used until this much is free')
    .option('-a, --all', 'every record and cache mount that no running build uses')
    .option('--dry-run', 'only print what would go')
    .addHelpText('after', PRUNE_HELP)
  onStore(prune).action(async (flags: PruneCommandFlags) => done(await handlers.prune(flags)))
}

function addCacheCommands(cache: Command, handlers: StoreHandlers, done: Done): void {
  cache.description('look after cache mounts (RUN --mount=type=cache)')
  const add = (action: CacheAction, argument: string | undefined, description: string) => {
    const command = cache.command(argument === undefined ? action : `${action} ${argument}`).description(description)
    return onStore(command.option('--id <id>', 'only this cache mount; may be given several times', collect, []))
  }
  const run = (action: CacheAction) => async (flags: CacheFlags) => done(await handlers.cache(action, undefined, flags))
  const carry = (action: CacheAction) => async (directory: string, flags: CacheFlags) =>
    done(await handlers.cache(action, directory, flags))
  add('ls', undefined, 'list them').action(run('ls'))
  add('du', undefined, 'list them with the space that they take').action(run('du'))
  add('rm', undefined, 'remove them').option('-a, --all', 'all of them').action(run('rm'))
  add('export', '<place>', 'write them to a directory or, type=registry,ref=REF, to a registry, as an OCI artefact').action(carry('export'))
  add('import', '<place>', 'put those of an export in place of the same ones here').action(carry('import'))
}

function onStore(command: Command): Command {
  return command
    .option('--format <format>', 'table or json', tableOrJson, 'table')
    .option('--root <dir>', 'the store (default: $TBUILD_ROOT, /var/lib/tbuild, or $XDG_DATA_HOME/tbuild)')
    .allowExcessArguments(false)
}
