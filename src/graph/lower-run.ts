import { atWord, TbuildError } from '../base/errors.ts'
import { parseHeredocWord } from '../dockerfile/heredoc.ts'
import type { RunInstruction } from '../dockerfile/instruction.ts'
import { parseMount, type RunMount } from '../dockerfile/mount.ts'
import { cleanPath } from '../go/path.ts'
import { proxyEnv } from './build-args.ts'
import { commandArgs } from './config.ts'
import { runHistory } from './history.ts'
import type { ExecOp, ExecOpMount, Vertex } from './op.ts'
import { mountTarget, sourcePath } from './paths.ts'
import { addStep, type StageContext } from './stage-context.ts'
import { type StageState, withHistory } from './stage-state.ts'
import { isWindows } from './windows.ts'

/** Where a heredoc that begins with `#!` is found by the command (H9). */
const SCRIPT_FOLDER = '/dev/pipes'

export async function lowerRun(state: StageState, instruction: RunInstruction, context: StageContext): Promise<StageState> {
  if (instruction.devices.length > 0) {
    throw new TbuildError('DEVICE_UNSUPPORTED', 'RUN --device is not supported', {
      hint: 'remove the flag: CDI devices are a labs feature of BuildKit',
    })
  }
  if (instruction.otherBytes === true) {
    throw new TbuildError('RUN_NOT_UTF8', 'the RUN has bytes that are not UTF-8, which no build can pass on', {
      hint: "save the Dockerfile as UTF-8, or write the bytes as escapes, as in printf '\\377'",
    })
  }
  const { args, script } = heredocCommand(state, instruction)
  const inputs: Vertex[] = []
  const mounts = await lowerMounts(state, instruction, context, inputs)
  const op: ExecOp = {
    kind: 'exec',
    args,
    env: state.env.list(),
    ...argNames(state),
    proxyEnv: proxyEnv(context.options.buildArgs),
    cwd: state.workdir,
    user: state.user,
    hostname: context.options.buildArgs.get('BUILDKIT_SANDBOX_HOSTNAME') ?? 'buildkitsandbox',
    network: networkMode(instruction, state, context),
    security: securityMode(instruction, state, context),
    mounts,
    ...(script === undefined ? {} : { script }),
    settings: context.options.run.settings,
    platform: state.platform,
  }
  const root = addStep(op, state, context, inputs)
  return withHistory({ ...state, root }, runHistory(args, state.args, state.env), 'layer')
}

function argNames({ args, config }: StageState): { argNames?: readonly string[] } {
  if (args.length === 0) return {}
  const names = new Set(args.map(({ name }) => name))
  for (const item of config.Env ?? []) if (item.includes('=')) names.delete(item.slice(0, item.indexOf('=')))
  return names.size === 0 ? {} : { argNames: [...names] }
}

/** H8–H10: a lone heredoc is the command itself, or a script that the shell starts; otherwise the shell gets the heredocs as written. */
function heredocCommand(state: StageState, { command, heredocs }: RunInstruction): { args: readonly string[]; script?: ExecOp['script'] } {
  const [first] = heredocs
  if (command.form === 'exec' || first === undefined) return { args: commandArgs(state, command) }
  if (parseHeredocWord(command.command) !== undefined) {
    if (isWindows(state.imagePlatform) || !first.content.startsWith('#!'))
      return { args: commandArgs(state, { form: 'shell', command: first.content }) }
    const path = `${SCRIPT_FOLDER}/${first.name}`
    return { args: commandArgs(state, { form: 'shell', command: path }), script: { path, text: first.content } }
  }
  const text = [command.command, ...heredocs.map((heredoc) => `${heredoc.raw}${heredoc.name}`)].join('\n')
  return { args: commandArgs(state, { form: 'shell', command: text }) }
}

function networkMode(instruction: RunInstruction, state: StageState, context: StageContext): ExecOp['network'] {
  if (instruction.network === undefined) return context.options.run.network
  const value = context.expander(state.env).word(instruction.network.text)
  if (value === 'default') return context.options.run.network
  if (value === 'none' || value === 'host') return value
  throw new TbuildError('NETWORK_MODE', `invalid network mode: ${value}`, { span: instruction.network.span, hint: 'default, none or host' })
}

function securityMode(instruction: RunInstruction, state: StageState, context: StageContext): ExecOp['security'] {
  if (instruction.security === undefined) return 'sandbox'
  const value = context.expander(state.env).word(instruction.security.text)
  if (value === 'sandbox' || value === 'insecure') return value
  throw new TbuildError('SECURITY_MODE', `security "${value}" is not valid`, {
    span: instruction.security.span,
    hint: 'sandbox or insecure',
  })
}

async function lowerMounts(
  state: StageState,
  instruction: RunInstruction,
  context: StageContext,
  inputs: Vertex[],
): Promise<ExecOpMount[]> {
  const expand = context.expander(state.env)
  const mounts: ExecOpMount[] = []
  for (const word of instruction.mounts) {
    try {
      const mount = parseMount(word.text, (text) => expand.word(text))
      mounts.push(await lowerMount(mount, state, context, inputs))
    } catch (error) {
      throw atWord(error, word.span)
    }
  }
  return mounts
}

async function lowerMount(mount: RunMount, state: StageState, context: StageContext, inputs: Vertex[]): Promise<ExecOpMount> {
  const target = mount.target === undefined ? undefined : mountTarget(state.workdir, mount.target)
  if (target === '/') throw new TbuildError('MOUNT_TARGET_INVALID', `invalid mount target "/"`)
  const placed = target === undefined ? mount : ({ ...mount, target, ...writtenTarget(mount.target, target) } as ExecOpMount)
  const { triggerOf } = context.instruction
  if (placed.type !== 'bind' && placed.type !== 'cache') return triggerOf === undefined ? placed : { ...placed, triggerOf }
  const cache = placed.type === 'cache' ? { cacheId: cacheId(placed.id ?? cleanPath(mount.target ?? ''), context) } : {}
  const source = await mountSource(placed, context)
  if (source === undefined) return { ...placed, ...cache }
  return { ...placed, ...cache, input: inputs.push(source) - 1 }
}

/** Only an absolute target keeps what cleaning takes away. */
function writtenTarget(written: string | undefined, target: string): { written?: string } {
  return written?.startsWith('/') === true && written !== target ? { written } : {}
}

/** The target as written stands for the id when there is none (M4). */
function cacheId(id: string, context: StageContext): string {
  const namespace = context.options.buildArgs.get('BUILDKIT_CACHE_MOUNT_NS')
  return namespace ? `${namespace}/${id}` : id
}

/** A bind without `from` shows the build context, a cache without one starts empty (M1). */
async function mountSource(mount: SourceMount, context: StageContext): Promise<Vertex | undefined> {
  if (mount.from === undefined && mount.type === 'cache') return undefined
  const use = { kind: 'mount', target: mount.target, at: context.instruction } as const
  const source = mount.from === undefined ? context.sources.context() : await context.sources.from(mount.from, context.stage, use)
  if (source === undefined && mount.type === 'bind') return emptyRoot(context)
  return source?.op.kind === 'context' ? contextAsRoot(source, source.op.name, mount.source ?? '/', context) : source
}

/** What a bind of scratch shows: a directory with nothing in it. */
function emptyRoot(context: StageContext): Vertex {
  return context.builder.shared('mount scratch', {
    op: { kind: 'copy', sources: [], destination: '/', link: false, parents: false, exclude: [] },
    copyOf: null,
    name: '[internal] mount scratch',
    step: 'mount scratch',
  })
}

type SourceMount = Extract<RunMount, { type: 'bind' | 'cache' }>

/** A command never sees the caller's own files, but a copy of those it may see: owned by root, without what is ignored. */
function contextAsRoot(source: Vertex, name: string, path: string, context: StageContext): Vertex {
  const clean = sourcePath(path)
  return context.builder.shared(`mount ${name} ${clean}`, {
    op: {
      kind: 'copy',
      sources: [{ kind: 'path', input: 0, path: clean, unpack: false }],
      destination: '/',
      link: false,
      parents: clean !== '/',
      mirror: clean !== '/',
      exclude: [],
    },
    inputs: [source],
    copyOf: source,
    name: `[internal] mount ${clean} of ${name === 'context' ? 'build context' : `context ${name}`}`,
    span: context.instruction.span,
    step: `${context.options.naming.identity}|mount ${name} ${clean}`,
  })
}
