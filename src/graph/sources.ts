import { TbuildError } from '../base/errors.ts'
import type { Stage } from '../dockerfile/instruction.ts'
import { assertImageName, checkImagePlatform, findContext } from './base.ts'
import type { Vertex } from './op.ts'
import type { FromUse, Lowering, Sources } from './stage-context.ts'
import { refuseWindowsLayers } from './windows.ts'

export class SourceFinder implements Sources {
  readonly #lowering: Lowering

  constructor(lowering: Lowering) {
    this.#lowering = lowering
  }

  context(): Vertex {
    return this.#lowering.contextVertex('context')
  }

  async from(name: string, stage: Stage, use: FromUse): Promise<Vertex | undefined> {
    const { names, options } = this.#lowering
    // An image is the target's, whatever the platform of the stage that takes from it.
    const platform = options.platforms.target
    const index = names.indexOf(name, use.kind === 'copy')
    if (index !== undefined) return this.#fromStage(name, index, stage, use)
    const context = findContext(name, platform, options.from)
    if (context?.kind === 'files') return this.#lowering.contextVertex(context.name)
    if (context?.kind === 'scratch' || (context === undefined && name === 'scratch')) return undefined
    if (context === undefined) assertImageName(name, { span: use.at.span, within: use.at.span })
    const image = await options.from.resolveImage(context?.reference ?? name, platform)
    checkImagePlatform(context?.reference ?? name, image, platform, use.at, options.checks)
    refuseWindowsLayers(image.configFile)
    if (image.configFile.rootfs.diff_ids.length === 0) return undefined
    return this.#lowering.imageVertex(image, stage.from.span)
  }

  async #fromStage(name: string, index: number, stage: Stage, use: FromUse): Promise<Vertex | undefined> {
    const count = this.#lowering.file.stages.length
    if (index >= count) throw new TbuildError('STAGE_INDEX', `invalid stage index ${index}`, { hint: `the stages are 0 to ${count - 1}` })
    if (index === stage.index) {
      throw new TbuildError('STAGE_CYCLE', `circular dependency detected on stage: ${this.#lowering.stageName(index)}`)
    }
    // A stage that a named context replaces is there from the beginning (G13).
    if (index > stage.index && !this.#lowering.isReplaced(index)) {
      const own = this.#lowering.stageName(stage.index)
      const message =
        use.kind === 'copy'
          ? `cannot copy from stage "${name}", it needs to be defined before current stage "${own}"`
          : `cannot mount from stage "${name}" to "${use.target}", stage needs to be defined before current command`
      throw new TbuildError('STAGE_ORDER', message)
    }
    return (await this.#lowering.stage(index)).root
  }
}
