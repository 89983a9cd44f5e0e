import { cleanPath } from '../go/path.ts'
import type { ContainerConfig, History, ImageConfigFile } from '../values/oci.ts'
import { normalizePlatform, type Platform } from '../values/platform.ts'
import type { BuildArg } from './build-args.ts'
import { DEFAULT_PATH, Env } from './env.ts'
import type { Vertex } from './op.ts'
import { isWindows, nativePath, slashPath } from './windows.ts'

/** BuildKit's mark on entries of the Dockerfile (I1). */
const HISTORY_COMMENT = 'buildkit.dockerfile.v0'

/**
 * What a stage is after some of its instructions: the vertex of its file system and everything that is folded beside it. Immutable;
 * each instruction makes a new one (config.ts for metadata, lower-*.ts for those that make vertices).
 */
export interface StageState {
  /** Undefined is scratch. */
  readonly root: Vertex | undefined
  /** What its steps run on. */
  readonly platform: Platform
  /** What the config says: that of the base, however the base was asked for (I11). */
  readonly imagePlatform: Platform
  /** The image's config as it would be written now. */
  readonly config: ContainerConfig
  readonly author: string | undefined
  /** The times of the stage's own entries are filled in when the image is assembled (I6). */
  readonly history: HistoryChain | undefined
  /** The environment that RUN and expansion see: ENV and ARG, the later wins (A5). */
  readonly env: Env
  readonly args: readonly BuildArg[]
  readonly workdir: string
  readonly user: string
  readonly shell: readonly string[] | undefined
  /** CMD was set in this stage (W7). */
  readonly cmdSet: boolean
  /** The base's config file, for members that we do not know (I7). */
  readonly base: ImageConfigFile | undefined
}

/** History, last entry first: a state shares what came before with the state that it was made from, however long it is. */
export interface HistoryChain {
  readonly entry: History
  readonly before: HistoryChain | undefined
}

/** In the order of the image config. */
export function historyList(chain: HistoryChain | undefined): History[] {
  const list: History[] = []
  for (let link = chain; link !== undefined; link = link.before) list.push(link.entry)
  return list.reverse()
}

/** A stage that begins FROM scratch: Env with PATH and WorkingDir / are in its config. */
export function scratchState(platform: Platform): StageState {
  const env = withPath([], platform)
  return {
    root: undefined,
    platform,
    imagePlatform: platform,
    config: { ...(env.length === 0 ? {} : { Env: env }), WorkingDir: nativePath('/', platform) },
    author: undefined,
    history: undefined,
    env: Env.from(env),
    args: [],
    workdir: '/',
    user: '',
    shell: undefined,
    cmdSet: false,
    base: undefined,
  }
}

/** A stage that a named context without a config replaces (G13). */
export function bareState(platform: Platform): StageState {
  return { ...scratchState(platform), config: {}, env: Env.empty }
}

/** A stage FROM an image: config, author and history are inherited, `created` and OnBuild are not (I9, O4). */
export function imageState(root: Vertex | undefined, platform: Platform, file: ImageConfigFile): StageState {
  const { OnBuild: _triggers, ...inherited } = file.config ?? {}
  const env = withPath(inherited.Env ?? [], platform)
  const workdir = workdirOf(inherited.WorkingDir, platform)
  return {
    root,
    platform,
    imagePlatform: configPlatform(file),
    config: {
      ...inherited,
      Env: env,
      ...(inherited.WorkingDir ? { WorkingDir: nativePath(workdir, platform) } : {}),
    },
    author: file.author,
    history: (file.history ?? []).reduce<HistoryChain | undefined>((before, entry) => ({ entry, before }), undefined),
    env: Env.from(env),
    args: [],
    workdir,
    user: inherited.User ?? '',
    shell: inherited.Shell,
    cmdSet: false,
    base: file,
  }
}

/** An absolute one is as it is written; one that is relative, as some tools leave it, is of the root. */
function workdirOf(written: string | undefined, platform: Platform): string {
  const path = slashPath(written ?? '', platform)
  return path.startsWith('/') && !isWindows(platform) ? path : cleanPath(`/${path}`)
}

/** An alias (`x86_64`) or another case has the name that platforms go by; a variant stays as it is. */
function configPlatform({ os, architecture, variant, 'os.version': osVersion }: ImageConfigFile): Platform {
  const normal = normalizePlatform({ os, architecture })
  const isAlias = normal.architecture !== architecture.toLowerCase()
  const named = variant || (isAlias ? normal.variant : undefined)
  return { os: normal.os, architecture: normal.architecture, ...(named ? { variant: named } : {}), ...(osVersion ? { osVersion } : {}) }
}

/** A stage FROM another stage: everything goes on, its ARGs too (A4); its ONBUILD triggers have been taken (O4). */
export function childState(parent: StageState): StageState {
  const { OnBuild: _triggers, ...config } = parent.config
  const env = withPath(config.Env ?? [], parent.platform)
  return { ...parent, config: { ...config, ...(env.length === 0 ? {} : { Env: env }) }, env: parent.env.withAll(env), cmdSet: false }
}

/** A13; Windows has a PATH of its own. */
function withPath(env: readonly string[], platform: Platform): string[] {
  return isWindows(platform) || env.some((item) => item.startsWith('PATH=')) ? [...env] : [...env, `PATH=${DEFAULT_PATH}`]
}

/** Adds a history entry: of an instruction that made a layer, or of one that changed the config alone (`empty`). */
export function withHistory(state: StageState, text: string, layer: 'layer' | 'empty'): StageState {
  const entry: History = { created_by: text, comment: HISTORY_COMMENT, ...(layer === 'empty' ? { empty_layer: true } : {}) }
  return { ...state, history: { entry, before: state.history } }
}
