import { withSpan } from '../base/errors.ts'
import { formatPlatform, type Platform } from '../base/platform.ts'
import type { Span } from '../base/span.ts'
import type { Instruction, Stage, StagedDockerfile } from '../dockerfile/instruction.ts'
import { expandWord, expandWords } from '../dockerfile/word.ts'
import { type BaseChoice, baseOf, resolveBase } from './base.ts'
import { GraphBuilder } from './builder.ts'
import { applyArg, applyMetadata } from './config.ts'
import type { Env } from './env.ts'
import { globalArgs } from './global-args.ts'
import { lowerCopy } from './lower-copy.ts'
import { lowerRun } from './lower-run.ts'
import type { BaseImage, LowerOptions, ResolveImage } from './lower-types.ts'
import { lowerWorkdir } from './lower-workdir.ts'
import type { Vertex } from './op.ts'
import { neededImages } from './reach.ts'
import { SourceFinder } from './sources.ts'
import type { Lowering, StageContext } from './stage-context.ts'
import type { StageState } from './stage-state.ts'
import { StepCounter } from './step-name.ts'

/** Lowers stages on demand, each once. */
export class StageLowering implements Lowering {
  readonly file: StagedDockerfile
  readonly options: LowerOptions
  readonly builder = new GraphBuilder()
  readonly #globals: Env
  readonly #bases: readonly BaseChoice[]
  readonly #sources = new SourceFinder(this)
  readonly #states = new Map<number, Promise<StageState>>()

  constructor(file: StagedDockerfile, options: LowerOptions) {
    this.file = file
    this.options = { ...options, resolveImage: once(options.resolveImage) }
    this.#globals = globalArgs(file, options)
    this.#bases = file.stages.map((stage) => baseOf(stage, file, this.#globals, options))
  }

  /** '' for the only stage without a name. */
  stageName(index: number): string {
    return this.file.stages[index]?.name ?? (this.file.stages.length === 1 ? '' : `stage-${index}`)
  }

  /** Starts the look-up of every base that the text says is needed, so that they run at once. */
  prefetch(target: number): void {
    for (const image of neededImages(this.file, this.#bases, target, this.options)) {
      // Whoever demands the image reports its failure.
      this.options.resolveImage(image.reference, image.platform).catch(() => {})
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
    const { digest, platform } = image
    const step = `image ${image.name} ${formatPlatform(platform)}`
    return this.builder.shared(`image ${digest}`, { op: { kind: 'image', name: image.name, platform, digest }, name, span, step })
  }

  /** A named context of files as a base: its files are the first layer. */
  filesAsRoot(name: string, stage: Stage): Vertex {
    return this.builder.add({
      op: {
        kind: 'copy',
        sources: [{ kind: 'path', input: 0, path: '/', unpack: false }],
        destination: '/',
        link: false,
        parents: false,
        exclude: [],
      },
      inputs: [this.contextVertex(name)],
      name: `FROM context ${name}`,
      span: stage.from.span,
      step: `${this.options.identity}|files ${name}`,
    })
  }

  async #lower(stage: Stage, base: BaseChoice): Promise<StageState> {
    const replaced = base.kind !== 'stage' && base.kind !== 'scratch' && base.replacesStage
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
      const { state, triggers } = await resolveBase(stage, base, this)
      const instructions: readonly Instruction[] = replaced ? [] : [...triggers, ...stage.instructions]
      return { state, instructions, context: this.#context(stage, instructions) }
    } catch (error) {
      throw withSpan(error, stage.from.span)
    }
  }

  #context(stage: Stage, instructions: readonly Instruction[]): StageContext {
    const { directives } = this.file
    const { options, builder } = this
    const stageName = this.stageName(stage.index)
    const filter = options.noCacheFilter.map((item) => item.toLowerCase())
    const steps = new StepCounter(stage, stageName, instructions, options)
    steps.next(`FROM ${stage.from.image.text}`, 'from')
    return {
      stage,
      stageName,
      options,
      builder,
      sources: this.#sources,
      steps,
      noCache: options.noCache || filter.includes(stage.name ?? String(stage.index)),
      expander: (env, raw = false) => ({
        word: (text) => expandWord(text, env, raw ? { escape: '\\', raw } : directives).result,
        words: (text) => expandWords(text, env, directives),
      }),
    }
  }

  #instruction(state: StageState, instruction: Instruction, context: StageContext): StageState | Promise<StageState> {
    switch (instruction.kind) {
      case 'run':
        return lowerRun(state, instruction, context)
      case 'copy':
      case 'add':
        return lowerCopy(state, instruction, context)
      case 'workdir':
        return lowerWorkdir(state, instruction, context)
      case 'arg':
        return applyArg(state, instruction, this.options.buildArgs, this.#globals, (env) => context.expander(env))
      case 'from':
        throw new Error('a stage holds no FROM')
      default:
        return applyMetadata(state, instruction, context.expander(state.env))
    }
  }
}

function once(resolve: ResolveImage): ResolveImage {
  const known = new Map<string, Promise<BaseImage>>()
  return (reference: string, platform: Platform) => {
    const key = `${reference} ${formatPlatform(platform)}`
    let image = known.get(key)
    if (image === undefined) {
      image = resolve(reference, platform)
      known.set(key, image)
    }
    return image
  }
}
