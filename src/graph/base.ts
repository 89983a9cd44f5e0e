import { type ErrorPlace, isTbuildError, TbuildError, withSpan } from '../base/errors.ts'
import { withSuggestion } from '../base/suggest.ts'
import type { Directives, Instruction, Stage } from '../dockerfile/instruction.ts'
import { inFile, type Place } from '../dockerfile/lint/linter.ts'
import { expandWord } from '../dockerfile/word.ts'
import { goQuote } from '../go/quote.ts'
import { readImageReference } from '../values/image-reference.ts'
import { formatPlatform, normalizePlatform, type Platform, parsePlatform } from '../values/platform.ts'
import type { Env } from './env.ts'
import type { BaseChoice, BaseImage, CheckDeps, FromDeps, LowerOptions, NamedContext } from './lower-types.ts'
import type { Lowering } from './stage-context.ts'
import type { StageNames } from './stage-names.ts'
import { bareState, childState, imageState, type StageState, scratchState } from './stage-state.ts'

type BaseOptions = Pick<LowerOptions, 'platforms' | 'from'>

/** What names in a FROM stand for. */
interface FromNames {
  readonly names: StageNames
  readonly globals: Env
  readonly directives: Directives
}

export function baseOf(stage: Stage, known: FromNames, options: BaseOptions): BaseChoice {
  try {
    return chooseBase(stage, known, options)
  } catch (error) {
    throw withSpan(error, stage.from.span)
  }
}

function chooseBase(stage: Stage, { names, globals, directives }: FromNames, options: BaseOptions): BaseChoice {
  // Before all else: a blank name is an error even when a named context stands for the stage.
  const name = baseName(stage.from, globals, directives)
  const explicit = stage.from.platform === undefined ? undefined : explicitPlatform(stage.from.platform.text, globals, directives)
  const platform = explicit ?? options.platforms.target
  if (stage.name !== undefined) {
    assertContextName(stage.name)
    // A stage named like these two is nobody's but its own; as the name of an image `context` can be a context's.
    const replacement = /^(context|scratch)$/i.test(stage.name) ? undefined : findContext(stage.name, platform, options.from)
    if (replacement) return fromContext(replacement, platform, true)
  }
  const parent = names.before(stage.index, name)
  // That stage's platform is its own, whatever --platform says here.
  if (parent !== undefined) return { kind: 'stage', index: parent.index }
  const context = findContext(name, platform, options.from)
  if (context) return fromContext(context, platform, false)
  // Whatever --platform says.
  if (name === 'scratch') return { kind: 'scratch', platform: options.platforms.target }
  return { kind: 'image', reference: name, platform, replacesStage: false }
}

/** A stage's name is looked up as that of a context, and those are image names: `a-` and `a..b` are none. Throws IMAGE_REFERENCE_INVALID. */
export function assertContextName(name: string): void {
  const read = readImageReference(name)
  if (typeof read !== 'string') return
  throw new TbuildError('IMAGE_REFERENCE_INVALID', `invalid context name ${name}: ${read}`, {
    hint: 'between letters and digits write one of . _ __ or dashes',
  })
}

/** The name behind FROM. Throws BASE_NAME_EMPTY. */
export function baseName({ image }: Stage['from'], globals: Env, directives: Directives): string {
  const name = expandWord(image.text, globals, directives).result
  if (name !== '') return name
  throw new TbuildError('BASE_NAME_EMPTY', `base name (${image.text}) should not be blank`, {
    span: image.span,
    hint: 'give the ARG in it a default before FROM, or pass --build-arg',
  })
}

function explicitPlatform(text: string, globals: Env, directives: Directives): Platform {
  const { result: value, unmatched } = expandWord(text, globals, directives)
  if (value === '') {
    throw new TbuildError('PLATFORM_EMPTY', withNearestName(`empty platform value from expression ${text}`, unmatched, globals))
  }
  try {
    return parsePlatform(value)
  } catch (error) {
    if (!isTbuildError(error)) throw error
    const message = withNearestName(`failed to parse platform ${text}: ${error.message}`, unmatched, globals)
    throw new TbuildError(error.code, message, error.hint === undefined ? {} : { hint: error.hint })
  }
}

/** The first of the names that is nearly that of a global ARG. */
function withNearestName(message: string, names: Iterable<string>, globals: Env): string {
  const suggested = [...names].map((name) => withSuggestion(message, name, globals.keys(), { caseSensitive: true }))
  return suggested.find((one) => one !== message) ?? message
}

/** Throws IMAGE_REFERENCE_INVALID. */
export function assertImageName(reference: string, place: ErrorPlace): void {
  const read = readImageReference(reference)
  if (typeof read !== 'string') return
  throw new TbuildError('IMAGE_REFERENCE_INVALID', `failed to parse stage name ${goQuote(reference)}: ${read}`, place)
}

/** `name::platform` wins over `name` (G13). What `scratch` means nothing replaces. */
export function findContext(name: string, platform: Platform, { namedContext }: Pick<FromDeps, 'namedContext'>): NamedContext | undefined {
  if (name === 'scratch') return undefined
  return namedContext(`${name}::${formatPlatform(platform)}`) ?? namedContext(name)
}

function fromContext(context: NamedContext, platform: Platform, replacesStage: boolean): BaseChoice {
  if (context.kind === 'scratch') return { kind: 'scratch', platform, replacesStage }
  return context.kind === 'image'
    ? { kind: 'image', reference: context.reference, platform, replacesStage }
    : { ...context, platform, replacesStage }
}

/** What a stage begins with. */
interface ResolvedBase {
  readonly state: StageState
  /** Parsed ONBUILD instructions of the base, to run first (O3). */
  readonly triggers: readonly Instruction[]
  /** The image whose vertex is the root, still to be made. */
  readonly image?: BaseImage
}

/** Looks the base up, when it is an image, and folds its config into a state. */
export async function resolveBase(stage: Stage, base: BaseChoice, lowering: Lowering): Promise<ResolvedBase> {
  switch (base.kind) {
    case 'scratch':
      return { state: base.replacesStage === true ? bareState(base.platform) : scratchState(base.platform), triggers: [] }
    case 'files': {
      const root = lowering.filesAsRoot(base, stage)
      const { target } = lowering.options.platforms
      const files = base.replacesStage ? bareState(target) : scratchState(target)
      return { state: { ...files, platform: base.platform, root }, triggers: [] }
    }
    case 'stage': {
      const parent = await lowering.stage(base.index)
      // As written there: a named context that stands for the parent does not take them away.
      const written = (lowering.file.stages[base.index] as Stage).instructions
      const expressions = written.flatMap((instruction) => (instruction.kind === 'onbuild' ? [instruction.expression] : []))
      return { state: childState(parent), triggers: parseTriggers(expressions, lowering, stage.from.image.text) }
    }
    case 'image': {
      const image = await lowering.options.from.resolveImage(base.reference, base.platform)
      checkImagePlatform(base.reference, image, base.platform, stage.from, lowering.options.checks)
      const state = imageState(undefined, base.platform, image.configFile)
      const triggers = imageTriggers(image, lowering)
      // An image without layers is scratch with a config (G14).
      return image.configFile.rootfs.diff_ids.length === 0 ? { state, triggers } : { state, triggers, image }
    }
  }
}

/** An image that exists for one platform only is taken for any. */
export function checkImagePlatform(
  reference: string,
  image: BaseImage,
  wanted: Platform,
  place: Place,
  { linter }: Pick<CheckDeps, 'linter'>,
): void {
  const { os, architecture } = image.platform
  // One that does not say what it is for is for any.
  if (image.configFile.rootfs.diff_ids.length === 0 || architecture === '') return
  if (os === wanted.os && architecture === wanted.architecture) return
  const [actual, expected] = [image.platform, normalizePlatform(wanted)].map(formatPlatform)
  const message = `Base image ${reference} was pulled with platform "${actual}", expected "${expected}" for current build`
  linter.images('InvalidBaseImagePlatform', inFile(place), message)
}

/** What no ONBUILD of a Dockerfile can be does not come in by an image: with a chain it could pass for a stage's own. MAINTAINER BuildKit takes. */
function imageTriggers({ name, configFile }: BaseImage, lowering: Lowering): Instruction[] {
  return parseTriggers(configFile.config?.OnBuild, lowering, name, ({ kind }) => {
    if (kind === 'onbuild') throw new TbuildError('DOCKERFILE_SYNTAX', "Chaining ONBUILD via `ONBUILD ONBUILD` isn't allowed")
    if (kind === 'from') throw new TbuildError('DOCKERFILE_SYNTAX', "FROM isn't allowed as an ONBUILD trigger")
  }).map((trigger) => ({ ...trigger, triggerOf: name }))
}

/** One that is wrong stands, as BuildKit has it, where the FROM is that runs it. */
function parseTriggers(
  expressions: readonly string[] | undefined,
  lowering: Lowering,
  image: string,
  check: (trigger: Instruction) => void = () => {},
): Instruction[] {
  return (expressions ?? []).map((expression) => {
    try {
      const trigger = lowering.options.from.parseTrigger(expression, image)
      check(trigger)
      return trigger
    } catch (error) {
      if (!isTbuildError(error)) throw error
      throw new TbuildError(error.code, error.message, { hint: `the trigger of ${image} is: ${expression}`, cause: error })
    }
  })
}
