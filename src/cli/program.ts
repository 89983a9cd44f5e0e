import { Command, CommanderError, Option } from 'commander'
import { isTbuildError } from '../base/errors.ts'
import type { BuildFlags } from './options/build.ts'
import { ignoredEnvironment } from './options/environment.ts'
import { tableOrJson } from './options/format.ts'
import { IGNORED, REFUSED } from './options/ignored.ts'
import { ignoredIsolation } from './options/isolation.ts'
import { hasDocker } from './options/output.ts'
import { ignoredProxies } from './options/proxies.ts'
import { addStoreCommands, type Describe, type Done, type StoreHandlers } from './program-store.ts'
import { knownMode, PROGRESS_MODES } from './progress/display.ts'
import { unsupported, usage } from './usage.ts'

/** Each command is one file, loaded when it is asked for; it returns the exit status. */
export interface Handlers extends StoreHandlers {
  build(context: string, flags: BuildCommandFlags): Promise<number>
  explain(context: string, flags: ExplainFlags): Promise<number>
  images(flags: ListFlags): Promise<number>
  inspect(image: string, flags: ListFlags): Promise<number>
  history(image: string, flags: HistoryFlags): Promise<number>
}

export interface BuildCommandFlags extends BuildFlags {
  progress?: string
  quiet?: boolean
  iidfile?: string
  metadataFile?: string
  explain?: boolean
  dryRun?: boolean
  failOnMiss?: boolean
}

export interface ExplainFlags extends BuildCommandFlags {
  format?: string
}

export interface ListFlags {
  format?: string
  quiet?: boolean
  root?: string
}

export interface HistoryFlags extends ListFlags {
  trunc: boolean
}

const collect = (value: string, previous: string[]): string[] => [...previous, value]

const BUILD_HELP = `
CONTEXT is a directory, a URL, or - for a tar (or a Dockerfile) on standard input.

Examples:
  tbuild -t app:dev .
  tbuild -f docker/Dockerfile --target test --build-arg VERSION=1.2 .
  tbuild -o type=oci,dest=app.tar .            an OCI image as one file
  tbuild -o type=docker,dest=- . | docker load
  tbuild -o out .                              the files of the last stage as a directory`

const EXPLAIN_HELP = `
Takes the options of a build, so that it can be put before them: those of its result (-t, -o, --push …) have no effect.

Examples:
  tbuild explain --build-arg VERSION=1.2 .
  tbuild explain --fail-on-miss --format json . > cache.json`

interface ProgramHooks {
  /** Gets the exit status of the command. */
  done(status: number): void
  /** Help and version. */
  print(text: string): void
}

/**
 * Describes the command line; parsing it calls one of the handlers. Throws TbuildError USAGE (exit status 2). Of a command only the name is there until it is
 * given, or its help is asked for: to describe them all takes as long as a tenth of a cached build.
 */
export function program(version: string, handlers: Handlers, { done, print }: ProgramHooks): Command {
  const top = new Command('tbuild')
    .description('Builds Dockerfiles as BuildKit does, without a daemon.')
    .version(version, '-v, --version', 'print the version')
    .helpCommand('help [command]', 'print the help of a command')
    .showSuggestionAfterError(true)
    .exitOverride()
    .configureOutput({ writeOut: print, writeErr: () => {} })
    .hook('preSubcommand', (_top, command) => describe(command))
    .addHelpText('beforeAll', ({ command }) => {
      if (command === top) describeAll(top)
      else describe(command)
      return ''
    })
  later(top.command('build', { isDefault: true }), (build) => addBuild(build, handlers, done))
  later(top.command('explain'), (explain) => addExplain(explain, handlers, done))
  later(top.command('images').alias('ls'), (images) => addImages(images, handlers, done))
  later(top.command('inspect'), (inspect) => addInspect(inspect, handlers, done))
  later(top.command('history'), (history) => addHistory(history, handlers, done))
  addStoreCommands(top, later, handlers, done)
  return top
}

/** What is left to say of each command. */
const undescribed = new WeakMap<Command, Describe>()

function later(command: Command, describe: Describe): void {
  undescribed.set(command, describe)
}

function describe(command: Command): void {
  undescribed.get(command)?.(command)
  undescribed.delete(command)
}

/** All commands with their options, as help has them. */
export function describeAll(top: Command): Command {
  for (const command of top.commands) describe(command)
  return top
}

function addImages(images: Command, handlers: Handlers, done: Done): void {
  images.description('list the images of the store')
  list(images).action(async (flags: ListFlags) => done(await handlers.images(flags)))
}

function addInspect(inspect: Command, handlers: Handlers, done: Done): void {
  inspect.argument('<image>', 'a name or an id').description('print an image as JSON')
  list(inspect).action(async (image: string, flags: ListFlags) => done(await handlers.inspect(image, flags)))
}

function addHistory(history: Command, handlers: Handlers, done: Done): void {
  history.argument('<image>', 'a name or an id').description('print how an image was made, newest step first')
  list(history)
    .option('--no-trunc', 'do not shorten the commands')
    .action(async (image: string, flags: HistoryFlags) => done(await handlers.history(image, flags)))
}

function list(command: Command): Command {
  return command
    .option('--format <format>', 'table or json', tableOrJson, 'table')
    .option('-q, --quiet', 'print ids only')
    .option('--root <dir>', 'the store (default: $TBUILD_ROOT, /var/lib/tbuild, or $XDG_DATA_HOME/tbuild)')
    .allowExcessArguments(false)
}

function addBuild(build: Command, handlers: Handlers, done: Done): void {
  build
    .description('build an image (the default command)')
    .argument('<context>', 'a directory, a URL or -')
    .allowExcessArguments(false)
    .addHelpText('after', BUILD_HELP)
  addImageOptions(build)
  addRunOptions(build)
  addResultOptions(build)
  for (const { option } of [...ignored(), ...refused()]) build.addOption(option)
  build
    .option('--check', 'look for mistakes in the Dockerfile instead of building it')
    .option('--call <method>', 'build, check, outline or targets, with ,format=json')
    .option('--explain', 'say why a step is not taken from the cache')
    .option('--dry-run', 'only say what would run, and why')
    .option('--fail-on-miss', 'with --dry-run: exit status 1 when a step would run')
  build.action(async (context: string, flags: BuildCommandFlags) => {
    refuse(build)
    if (flags.failOnMiss && !flags.dryRun) throw usage('--fail-on-miss is for --dry-run', 'add --dry-run, or use `tbuild explain`')
    done(await (flags.dryRun ? handlers.explain(context, flags) : handlers.build(context, flags)))
  })
}

function addExplain(explain: Command, handlers: Handlers, done: Done): void {
  explain
    .description('say which steps a build would run, and why; nothing is run or made')
    .argument('<context>', 'a directory, a URL or -')
    .allowExcessArguments(false)
    .addHelpText('after', EXPLAIN_HELP)
  addImageOptions(explain)
  addRunOptions(explain)
  addResultOptions(explain)
  for (const { option } of [...ignored(), ...refused()]) explain.addOption(option)
  explain
    .option('--format <format>', 'text or json', 'text')
    .option('--fail-on-miss', 'exit status 1 when a step would run')
    .addOption(new Option('--dry-run').hideHelp())
    .action(async (context: string, flags: ExplainFlags) => {
      refuse(explain)
      done(await handlers.explain(context, flags))
    })
}

function addImageOptions(build: Command): void {
  build
    .option('-f, --file <path>', 'the Dockerfile, or - (default: Dockerfile in the context)')
    .option('-t, --tag <name>', 'name of the image, NAME[:TAG]; may be given several times', collect, [])
    .option('--target <stage>', 'the stage to build (default: the last)')
    .option('--build-arg <name[=value]>', 'value of an ARG; without =VALUE from the environment', collect, [])
    .option('--build-context <name=value>', 'a named context: a directory, docker-image://REF, oci-layout://DIR or a URL', collect, [])
    .option('--label <name=value>', 'label of the image', collect, [])
    .option(
      '--annotation <name=value>',
      'annotation of the manifest; [TYPE[PLATFORM]:] for index, manifest-descriptor, index-descriptor',
      collect,
      [],
    )
    .option('--platform <list>', 'os/arch[/variant] to build for', collect, [])
    .option('--pull', 'ask the registry for newer base images')
    .option('--no-cache', 'run every step')
    .option('--cache-from <spec>', 'a cache of earlier builds: type=registry,ref=REF; type=local,src=DIR; or REF', collect, [])
    .option('--cache-to <spec>', 'type=registry,ref=REF; type=local,dest=DIR; or type=inline; with mode=min|max', collect, [])
    .option('--reset-cache-mounts', 'begin with empty cache mounts (--no-cache keeps them)')
    .addOption(new Option('--cache-mount-owner <who>', 'owner of a new cache mount without uid and gid').choices(['root', 'user']))
    .option('--no-cache-filter <stages>', 'run every step of these stages', collect, [])
    .option('--normalize-modes', 'context files are 0644 or 0755, as git keeps them, whatever the umask')
    .addOption(new Option('--no-normalize-modes').hideHelp())
}

function addRunOptions(build: Command): void {
  build
    .option('--network <mode>', 'network of RUN steps: default, none or host')
    .option('--add-host <host:ip>', 'line for /etc/hosts of RUN steps', collect, [])
    .option('--secret <spec>', 'id=ID[,src=FILE|,env=NAME]', collect, [])
    .option('--ssh <spec>', 'default or ID[=SOCKET|KEY[,KEY]]', collect, [])
    .option('--allow <entitlement>', 'network.host, security.insecure, onbuild.secrets or onbuild.ssh', collect, [])
    .option('--shm-size <bytes>', 'size of /dev/shm in RUN steps')
    .option('--ulimit <name=soft[:hard]>', 'limit of RUN steps', collect, [])
    .option('--cgroup-parent <path>', 'cgroup of RUN steps')
    .option('--isolation <mode>', 'chroot: RUN steps without namespaces, where a machine allows none; protects from little')
    .option('--limit <name=size>', 'bytes that others may make us take in: url, git, unpack (default: 64g each)', collect, [])
    .option('--jobs <n>', 'steps at once (default: 16, or 4 for each processor; more while they only wait)')
}

function addResultOptions(build: Command): void {
  build
    .option('-o, --output <spec>', 'type=oci|docker|local|tar|image,dest=PATH|-; DIR; or - for a tar of the files', collect, [])
    .option('--push', 'push the image to the registry of its tags')
    .option('--load', 'load the image into docker, where there is one')
    .option('--iidfile <file>', 'write the id of the image to a file')
    .option('--metadata-file <file>', 'write what was built to a file, as JSON')
    .addOption(new Option('--progress <mode>', 'how to show progress').choices(PROGRESS_MODES).argParser(knownMode))
    .option('-q, --quiet', 'print nothing but the id of the image')
    .option('--root <dir>', 'the store (default: $TBUILD_ROOT, /var/lib/tbuild, or $XDG_DATA_HOME/tbuild)')
    .addOption(new Option('--attest <spec>').argParser(collect).default([]).hideHelp())
    .addOption(new Option('--provenance <value>').hideHelp())
    .addOption(new Option('--sbom <value>').hideHelp())
}

/** These options as commander has them; each is made once, since the flags of an option take some time to read. */
const ignored = once(() => IGNORED.map((one) => ({ ...one, option: new Option(one.flags).hideHelp() })))
const refused = once(() => REFUSED.map((one) => ({ ...one, option: new Option(one.flags).hideHelp() })))

function once<T>(make: () => T): () => T {
  let made: T | undefined
  return () => {
    made ??= make()
    return made
  }
}

function refuse(build: Command): void {
  for (const { option, hint } of refused()) {
    if (build.getOptionValueSource(option.attributeName()) === 'cli') throw unsupported(`--${option.name()}`, hint)
  }
  checkIgnored((name) => build.getOptionValue(name))
}

/** Warnings for what was asked for and means nothing here. */
export function ignoredOptions(args: readonly string[], environment: NodeJS.ProcessEnv = {}): string[] {
  const load = args.includes('--load') && !hasDocker(environment)
  return [
    ...ignoredArguments(args),
    ...ignoredIsolation(args),
    ...(load ? ['--load has no effect: there is no `docker` in PATH; the image is in the store of tbuild'] : []),
    ...ignoredEnvironment(environment),
    ...ignoredProxies(environment),
  ]
}

/** A value that docker refuses is refused, though it would change nothing. */
function checkIgnored(given: (name: string) => unknown): void {
  for (const { option, number } of ignored()) {
    const value = given(option.attributeName())
    if (number && typeof value === 'string' && !/^[+-]?[0-9]+$/.test(value))
      throw usage(`invalid ${option.long} ${JSON.stringify(value)}: expected a number`)
  }
}

/** Their warnings; an empty value asks for nothing. */
function ignoredArguments(args: readonly string[]): string[] {
  return ignored().flatMap(({ option: { long = '', short, required }, reason }) => {
    const given = args.some((arg, at) => {
      if (arg === long || (short !== undefined && arg === short)) return !required || args[at + 1] !== ''
      return arg.startsWith(`${long}=`) && arg !== `${long}=`
    })
    return given ? [`${long} has no effect: ${reason}`] : []
  })
}

/** Commander's own errors as ours. Help and version are printed by it and end with 0. */
export function asUsage(error: unknown): unknown {
  if (!(error instanceof CommanderError) || isTbuildError(error)) return error
  const [message = '', suggestion] = error.message.replace(/^error: /, '').split('\n')
  const hint = suggestion === undefined ? 'run `tbuild --help` for the options' : suggestion.replace(/^\(D(.*)\)$/, 'd$1')
  return usage(message, hint)
}

/** True for the way commander says that it printed help or the version. */
export function isInformation(error: unknown): boolean {
  return error instanceof CommanderError && error.exitCode === 0
}
