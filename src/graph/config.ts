import { TbuildError } from '../base/errors.ts'
import { assertSignal } from '../base/signal.ts'
import type {
  ArgInstruction,
  CmdInstruction,
  Directives,
  EnvInstruction,
  ExposeInstruction,
  HealthcheckInstruction,
  LabelInstruction,
  MaintainerInstruction,
  OnbuildInstruction,
  ShellInstruction,
  StopSignalInstruction,
  UserInstruction,
  VolumeInstruction,
} from '../dockerfile/instruction.ts'
import { expandWord } from '../dockerfile/word.ts'
import { formatGoDuration } from '../go/duration.ts'
import { quoteList } from '../go/quote.ts'
import type { ContainerConfig, HealthConfig } from '../values/oci.ts'
import { parseExposedPorts } from '../values/ports.ts'
import { type BuildArg, type BuildArgValues, NON_ENV_ARGS, shownArg } from './build-args.ts'
import type { Env } from './env.ts'
import type { Expander } from './expander.ts'
import { type StageState, withHistory } from './stage-state.ts'
import { isWindows, WINDOWS_SHELL } from './windows.ts'

export type MetadataInstruction =
  | CmdInstruction
  | EnvInstruction
  | ExposeInstruction
  | HealthcheckInstruction
  | LabelInstruction
  | MaintainerInstruction
  | OnbuildInstruction
  | ShellInstruction
  | StopSignalInstruction
  | UserInstruction
  | VolumeInstruction

/** Instructions that never become vertices: they fold into the image's config, so that a changed LABEL re-runs nothing (K14). */
export function applyMetadata(state: StageState, instruction: MetadataInstruction, expand: Expander): StageState {
  switch (instruction.kind) {
    case 'env':
      return applyEnv(state, instruction, expand)
    case 'label':
      return applyLabel(state, instruction, expand)
    case 'expose':
      return applyExpose(state, instruction, expand)
    case 'volume':
      return applyVolume(state, instruction, expand)
    case 'user':
      return applyUser(state, instruction, expand)
    case 'cmd':
      return applyCmd(state, instruction)
    case 'entrypoint':
      return applyEntrypoint(state, instruction)
    case 'shell':
      return applyShell(state, instruction)
    case 'stopsignal':
      return applyStopSignal(state, instruction, expand)
    case 'healthcheck':
      return applyHealthcheck(state, instruction)
    case 'onbuild':
      return configured(state, { OnBuild: [...(state.config.OnBuild ?? []), instruction.expression] })
    case 'maintainer': {
      // The one instruction with text that is never expanded.
      const author = instruction.name.text
      return withHistory({ ...state, author }, `MAINTAINER ${author}`, 'empty')
    }
  }
}

/** Shell form: SHELL and the command as one string; exec form as it is (W5). */
export function commandArgs(state: StageState, command: CmdInstruction['command']): readonly string[] {
  return command.form === 'exec' ? command.args : [...(state.shell ?? defaultShell(state)), command.command]
}

function defaultShell({ imagePlatform }: StageState): readonly string[] {
  return isWindows(imagePlatform) ? WINDOWS_SHELL : ['/bin/sh', '-c']
}

function configured(state: StageState, change: Partial<ContainerConfig>): StageState {
  return { ...state, config: { ...state.config, ...change } }
}

function applyEnv(state: StageState, instruction: EnvInstruction, expand: Expander): StageState {
  const pairs = instruction.pairs.map(({ key, value }) => [expand.word(key), expand.word(value)] as const)
  let env = state.env
  let list = state.config.Env ?? []
  for (const [key, value] of pairs) {
    // What the config has, commands have: only a name that they know may stand there.
    list = key === '' || env.has(key) ? replaceEnv(list, key, value) : [...list, `${key}=${value}`]
    env = env.with(key, value)
  }
  const text = pairs.map(([key, value]) => ` ${key}=${value}`).join('')
  return withHistory(configured({ ...state, env }, { Env: list }), `ENV${text}`, 'empty')
}

/** A known key keeps its position, a new one comes last (A12). */
function replaceEnv(list: string[], key: string, value: string): string[] {
  const at = list.findIndex((item) => item === key || item.startsWith(`${key}=`))
  return at < 0 ? [...list, `${key}=${value}`] : list.with(at, `${key}=${value}`)
}

/** The names that an ENV sets, for checks. */
export function expandedKeys({ pairs }: EnvInstruction, env: Env, directives: Directives): string[] {
  return pairs.map(({ key }) => expandWord(key, env, directives).result)
}

function applyLabel(state: StageState, instruction: LabelInstruction, expand: Expander): StageState {
  const pairs = instruction.pairs.map(({ key, value }) => [expand.word(key), expand.word(value)] as const)
  // A null prototype: a label may be called __proto__.
  const labels: Record<string, string> = Object.assign(Object.create(null), state.config.Labels)
  for (const [key, value] of pairs) labels[key] = value
  return withHistory(configured(state, { Labels: labels }), `LABEL${pairs.map(([key, value]) => ` ${key}=${value}`).join('')}`, 'empty')
}

/** BuildKit sorts the words as written, before anything is expanded (W11). */
export function exposedWords(instruction: ExposeInstruction, expand: Expander): string[] {
  const words = instruction.ports.map((port) => port.text).sort((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)))
  return words.flatMap((word) => expand.words(word))
}

function applyExpose(state: StageState, instruction: ExposeInstruction, expand: Expander): StageState {
  const ports = parseExposedPorts(exposedWords(instruction, expand))
  const exposed = { ...state.config.ExposedPorts }
  for (const port of ports) exposed[port] = {}
  return withHistory(configured(state, { ExposedPorts: exposed }), `EXPOSE [${ports.join(' ')}]`, 'empty')
}

function applyVolume(state: StageState, instruction: VolumeInstruction, expand: Expander): StageState {
  const paths = instruction.volumes.map((volume) => expand.word(volume.text))
  const volumes: Record<string, object> = Object.assign(Object.create(null), state.config.Volumes)
  for (const path of paths) {
    if (path === '') throw new TbuildError('VOLUME_EMPTY', 'VOLUME specified can not be an empty string')
    volumes[path] = {}
  }
  return withHistory(configured(state, { Volumes: volumes }), `VOLUME [${paths.join(' ')}]`, 'empty')
}

function applyUser(state: StageState, instruction: UserInstruction, expand: Expander): StageState {
  const user = expand.word(instruction.user.text)
  return withHistory(configured({ ...state, user }, { User: user }), `USER ${user}`, 'empty')
}

function applyCmd(state: StageState, instruction: CmdInstruction): StageState {
  const args = [...commandArgs(state, instruction.command)]
  // ArgsEscaped is deprecated, but BuildKit writes it (W9).
  const next = configured({ ...state, cmdSet: true }, { Cmd: args, ArgsEscaped: true })
  return withHistory(next, `CMD ${quoteList(args)}`, 'empty')
}

function applyEntrypoint(state: StageState, instruction: CmdInstruction): StageState {
  const args = [...commandArgs(state, instruction.command)]
  const next = configured(state, { Entrypoint: args.length === 0 ? null : args, ...(state.cmdSet ? {} : { Cmd: null }) })
  return withHistory(next, `ENTRYPOINT ${quoteList(args)}`, 'empty')
}

function applyShell(state: StageState, instruction: ShellInstruction): StageState {
  const shell = [...instruction.shell]
  return withHistory(configured({ ...state, shell }, { Shell: shell }), `SHELL [${shell.join(' ')}]`, 'empty')
}

function applyStopSignal(state: StageState, instruction: StopSignalInstruction, expand: Expander): StageState {
  const signal = expand.word(instruction.signal.text)
  assertSignal(signal)
  return withHistory(configured(state, { StopSignal: signal }), `STOPSIGNAL ${signal}`, 'empty')
}

function applyHealthcheck(state: StageState, instruction: HealthcheckInstruction): StageState {
  const test = instruction.test
  // The shell is resolved when the check runs, not now (W6).
  const words = test === undefined ? ['NONE'] : test.form === 'shell' ? ['CMD-SHELL', test.command] : ['CMD', ...test.args]
  const nanoseconds = (value: bigint | undefined) => (value === undefined || value === 0n ? undefined : Number(value))
  const health: HealthConfig = {
    Test: words,
    ...defined('Interval', nanoseconds(instruction.interval)),
    ...defined('Timeout', nanoseconds(instruction.timeout)),
    ...defined('StartPeriod', nanoseconds(instruction.startPeriod)),
    ...defined('StartInterval', nanoseconds(instruction.startInterval)),
    ...defined('Retries', instruction.retries === 0 ? undefined : instruction.retries),
  }
  return withHistory(configured(state, { Healthcheck: health }), `HEALTHCHECK ${formatHealth(health)}`, 'empty')
}

function defined<K extends string, V>(key: K, value: V | undefined): Partial<Record<K, V>> {
  return value === undefined ? {} : ({ [key]: value } as Record<K, V>)
}

/** Go's %+v of the struct (I4). */
function formatHealth(health: HealthConfig): string {
  const duration = (value = 0) => formatGoDuration(BigInt(value))
  return (
    `{Test:[${(health.Test ?? []).join(' ')}] Interval:${duration(health.Interval)} Timeout:${duration(health.Timeout)} ` +
    `StartPeriod:${duration(health.StartPeriod)} StartInterval:${duration(health.StartInterval)} Retries:${health.Retries ?? 0}}`
  )
}

/** ARG in a stage (A1–A7): `--build-arg`, then the local default, then the global value; without any it is declared and unset (A3). */
export function applyArg(
  state: StageState,
  instruction: ArgInstruction,
  values: BuildArgValues,
  globals: Env,
  expandWith: (env: Env, args: readonly BuildArg[]) => Expander,
): StageState {
  let env = state.env
  const args: BuildArg[] = [...state.args]
  const shown: string[] = []
  for (const { name, value: fallback } of instruction.args) {
    // A default that is not used is not expanded either.
    const value = values.get(name) ?? (fallback === undefined ? globals.get(name) : expandWith(env, args).word(fallback))
    if (value !== undefined && !NON_ENV_ARGS.has(name)) env = env.with(name, value)
    const inherited = fallback === undefined && !values.has(name) && value !== undefined
    args.push({ name, at: instruction, inherited, ...(value === undefined ? {} : { value }) })
    shown.push(value === undefined ? name : shownArg(name, value))
  }
  return withHistory({ ...state, env, args }, `ARG ${shown.join(' ')}`, 'empty')
}
