import { atWord, withSpan } from '../base/errors.ts'
import { SharedWork } from '../base/shared-work.ts'
import type { Span } from '../base/span.ts'
import type { Instruction, Stage, StagedDockerfile } from '../dockerfile/instruction.ts'
import { checkFrom } from '../dockerfile/lint/from-checks.ts'
import { StageChecks } from '../dockerfile/lint/stage-checks.ts'
import { formatPlatform } from '../values/platform.ts'
import { assertImageName, baseName, baseOf, resolveBase } from './base.ts'
import { GraphBuilder } from './builder.ts'
import { applyArg, applyMetadata, expandedKeys, exposedWords, type MetadataInstruction } from './config.ts'
import type { Env } from './env.ts'
import type { Epoch } from './epoch.ts'
import { expanderAt } from './expander.ts'
import { declaredGlobals } from './global-args.ts'
import { lowerCopy } from './lower-copy.ts'
import { lowerRun } from './lower-run.ts'
import type { BaseChoice, BaseImage, FilesChoice, LowerOptions, ResolveImage } from './lower-types.ts'
import { lowerWorkdir } from './lower-workdir.ts'
import type { Vertex } from './op.ts'
import { fromNames, type NeededImage, reachOf } from './reach.ts'
import { SourceFinder } from './sources.ts'
import type { Lowering, StageContext } from './stage-context.ts'
import { checkStageLinks } from './stage-links.ts'
import { StageNames } from './stage-names.ts'
import type { StageState } from './stage-state.ts'
import { StepCounter } from './step-name.ts'

/** What all instructions of a stage have in common. */
type Scope = Omit<StageContext, 'expander' | 'instruction'>

/** A lowered stage, the one that it is FROM, and those that it needs. */
export interface LoweredStage {
  readonly stage: Stage
  readonly state: StageState
  readonly parent: number | undefined
  readonly parentState: StageState | undefined
  /** The stages that it takes files from, triggers and what a named context stands for included. */
  readonly sources: readonly number[]
}

/** Lowers stages on demand, each once. */
export class StageLowering implements Lowering {
  readonly file: StagedDockerfile
  readonly names: StageNames
  readonly options: LowerOptions
  readonly builder: GraphBuilder
  /** SOURCE_DATE_EPOCH, seconds. */
  readonly epoch: number | undefined
  /** The ARGs before the first FROM, and the predefined ones. */
  readonly globals: Env
  readonly #bases: readonly BaseChoice[]
  readonly #sources = new SourceFinder(this)
  readonly #states = new Map<number, Promise<StageState>>()
  readonly #checks = new Map<number, StageChecks>()
  readonly #sourceStages = new Map<number, readonly number[]>()

  constructor(file: StagedDockerfile, options: LowerOptions, epoch: Epoch) {
    this.file = file
    this.names = new StageNames(file.stages)
    this.builder = new GraphBuilder(options.naming.idPrefix)
    this.options = { ...options, buildArgs: epoch.buildArgs, from: { ...options.from, resolveImage: once(options.from.resolveImage) } }
    this.globals = epoch.globals
    this.epoch = epoch.seconds
    const scope = { globals: this.globals, declared: declaredGlobals(file, this.globals), directives: file.directives }
    this.#bases = file.stages.map((stage) => {
      checkFrom(stage.from, scope, options.checks.linter.text)
      return baseOf(stage, { names: this.names, ...scope }, options)
    })
  }

  /** '' for the only stage without a name. */
  stageName(index: number): string {
    return this.file.stages[index]?.name ?? (this.file.stages.length === 1 ? '' : `stage-${index}`)
  }

  isReplaced(index: number): boolean {
    const base = this.#bases[index]
    return base !== undefined && base.kind !== 'stage' && base.replacesStage === true
  }

  /**
   * Throws for stages that take from each other in a circle and for a name that is no image's, among those too that nothing needs or that a named context
   * stands for: before any image is looked up.
   */
  assertNames(): void {
    const { file, names } = this
    checkStageLinks(file, names)
    for (const [index, { from }] of file.stages.entries()) {
      const name = baseName(from, this.globals, file.directives)
      if (name !== 'scratch' && this.#parent(index) === undefined) assertImageName(name, { span: from.span, within: from.span })
    }
    for (const { name, allowIndex, place } of file.stages.flatMap(({ instructions }) => instructions.flatMap(fromNames))) {
      if (name !== 'scratch' && names.indexOf(name, allowIndex) === undefined) assertImageName(name, place)
    }
  }

  /** A stage as it was lowered. */
  async lowered(index: number): Promise<LoweredStage> {
    const parent = this.#parent(index)
    const state = await this.stage(index)
    return {
      stage: this.file.stages[index] as Stage,
      state,
      parent,
      parentState: parent === undefined ? undefined : await this.stage(parent),
      sources: this.#sourceStages.get(index) ?? [],
    }
  }

  #parent(index: number): number | undefined {
    const base = this.#bases[index]
    return base?.kind === 'stage' ? base.index : undefined
  }

  /**
   * Lowers stages and what the text says they need. As in BuildKit all images are looked up, at once, before an instruction is looked at, and stages
   * come in the order of the file: so of several errors the same is told, after the same warnings.
   */
  async stages(targets: readonly number[]): Promise<StageState[]> {
    const { file, names, options } = this
    const { images, stages } = reachOf(targets, { stages: file.stages, names, bases: this.#bases, options })
    const lookUps = images.map((image) => this.#lookUp(image))
    // The first in the file is told, whichever ends first.
    for (const lookUp of lookUps) lookUp.catch(() => {})
    for (const lookUp of lookUps) await lookUp
    const { ignoreProblem } = this.options.checks
    if (ignoreProblem !== undefined) throw ignoreProblem
    for (const index of stages) await this.stage(index)
    return Promise.all(targets.map((index) => this.stage(index)))
  }

  async #lookUp({ reference, platform, place }: NeededImage): Promise<void> {
    try {
      await this.options.from.resolveImage(reference, platform)
    } catch (error) {
      throw withSpan(atWord(error, place.span), place.within)
    }
  }

  stage(index: number): Promise<StageState> {
    let state = this.#states.get(index)
    if (state === undefined) {
      state = this.#lower(this.file.stages[index] as Stage, this.#bases[index] as BaseChoice)
      this.#states.set(index, state)
    }
    return state
  }

  contextVertex(name: string): Vertex {
    const text = name === 'context' ? '[internal] load build context' : `[context ${name}] load files`
    return this.builder.shared(`context ${name}`, { op: { kind: 'context', name }, name: text, step: `context ${name}` })
  }

  imageVertex(image: BaseImage, span: Span, name = `FROM ${image.name}`): Vertex {
    const { digest, resolved, platform } = image
    const step = `image ${image.name} ${formatPlatform(platform)}`
    const op = { kind: 'image', name: image.name, platform, digest, ...(resolved === undefined ? {} : { resolved }) } as const
    return this.builder.shared(`image ${digest}`, { op, name, span, step })
  }

  /** A named context of files as a base: its files are the first layer. */
  filesAsRoot({ name, isRemote }: FilesChoice, stage: Stage): Vertex {
    const files = this.contextVertex(name)
    return this.builder.add({
      op: {
        kind: 'copy',
        sources: [{ kind: 'path', input: 0, path: '/', unpack: false }],
        destination: '/',
        link: false,
        parents: false,
        exclude: [],
      },
      inputs: [files],
      copyOf: files,
      name: `FROM context ${name}`,
      span: stage.from.span,
      step: `${this.options.naming.identity}|files ${name}`,
      ...(isRemote === true ? {} : { description: `local source for ${name}` }),
    })
  }

  async #lower(stage: Stage, base: BaseChoice): Promise<StageState> {
    const replaced = this.isReplaced(stage.index)
    const { context, state: initial, instructions } = await this.#begin(stage, base, replaced)
    let state = initial
    for (const instruction of instructions) {
      try {
        state = await this.#instruction(state, instruction, context)
      } catch (error) {
        throw withSpan(error, instruction.span)
      }
    }
    return state
  }

  async #begin(stage: Stage, base: BaseChoice, replaced: boolean) {
    try {
      const { state, triggers, image } = await resolveBase(stage, base, this)
      // Triggers stand where the FROM is that runs them.
      const placed = triggers.map((trigger): Instruction => ({ ...trigger, span: stage.from.span }))
      const written: readonly Instruction[] = [...placed, ...stage.instructions]
      const links = written.flatMap(fromNames).map(({ name, allowIndex }) => this.names.indexOf(name, allowIndex))
      this.#sourceStages.set(
        stage.index,
        [...new Set(links)].filter((index) => index !== undefined),
      )
      const instructions = replaced ? [] : written
      const context = this.#context(stage, base, instructions)
      const { name } = context.steps.next(`FROM ${image?.name ?? stage.from.image.text}`, 'from')
      const root = image === undefined ? state.root : this.imageVertex(image, stage.from.span, name)
      return { state: { ...state, root }, instructions, context }
    } catch (error) {
      throw withSpan(error, stage.from.span)
    }
  }

  #context(stage: Stage, base: BaseChoice, instructions: readonly Instruction[]): Scope {
    const { options, builder } = this
    const checks = new StageChecks(
      options.checks.linter.stage(stage.index),
      base.kind === 'stage' ? this.#checks.get(base.index) : undefined,
    )
    this.#checks.set(stage.index, checks)
    const stageName = this.stageName(stage.index)
    const name = { shown: stageName, inHistory: nameInHistory(stage, this.file.stages.length) }
    const filter = options.noCache.stages.map((item) => item.toLowerCase())
    return {
      stage,
      stageName,
      options,
      builder,
      sources: this.#sources,
      directives: this.file.directives,
      steps: new StepCounter(stage, name, base.kind, instructions, options),
      epoch: this.epoch,
      noCache: options.noCache.all || filter.includes(stage.name ?? String(stage.index)),
      checks,
    }
  }

  #instruction(state: StageState, instruction: Instruction, scope: Scope): StageState | Promise<StageState> {
    const { checks } = scope
    const place = { instruction, args: state.args, directives: this.file.directives, checks }
    const context: StageContext = { ...scope, instruction, expander: (env, raw = false) => expanderAt(place, env, raw) }
    switch (instruction.kind) {
      case 'run':
        return lowerRun(state, instruction, context)
      case 'copy':
      case 'add':
        return lowerCopy(state, instruction, context)
      case 'workdir':
        return lowerWorkdir(state, instruction, context)
      case 'arg':
        checks.instruction(instruction, false)
        return applyArg(state, instruction, this.options.buildArgs, this.globals, (env, args) => expanderAt({ ...place, args }, env, false))
      case 'from':
        throw new Error('a stage holds no FROM')
      default:
        return this.#metadata(state, instruction, context)
    }
  }

  #metadata(state: StageState, instruction: MetadataInstruction, { checks, expander }: StageContext): StageState {
    const expand = expander(state.env)
    if (instruction.kind === 'expose') checks.expose(instruction, exposedWords(instruction, expand))
    const next = applyMetadata(state, instruction, expand)
    if (instruction.kind === 'env') checks.env(instruction, expandedKeys(instruction, state.env, this.file.directives))
    else checks.instruction(instruction, state.shell !== undefined)
    return next
  }
}

/** As BuildKit has it, the only stage has no name, not even its own, unless it takes from images or contexts: those are stages to it. */
function nameInHistory({ name, index, instructions }: Stage, stageCount: number): string {
  const isOnly = stageCount === 1 && instructions.flatMap(fromNames).length === 0
  return isOnly ? '' : (name ?? `stage-${index}`)
}

function once(resolve: ResolveImage): ResolveImage {
  const known = new SharedWork<string, BaseImage>()
  return (reference, platform) => known.of(`${reference} ${formatPlatform(platform)}`, () => resolve(reference, platform))
}
