import type { WorkdirInstruction } from '../dockerfile/instruction.ts'
import { cleanPath } from '../go/path.ts'
import type { WorkdirOp } from './op.ts'
import { joinWorkdir } from './paths.ts'
import { addStep, type StageContext } from './stage-context.ts'
import { type StageState, withHistory } from './stage-state.ts'
import { instructionText } from './step-name.ts'
import { nativePath, slashPath } from './windows.ts'

/** WORKDIR makes a layer whenever it is not `/`, even when the directory is there (W3); its history entry has no `# buildkit`. */
export function lowerWorkdir(state: StageState, instruction: WorkdirInstruction, context: StageContext): StageState {
  const path = context.expander(state.env).word(instruction.path.text)
  const { platform } = state
  const local = slashPath(path, platform, 'normalizing workdir: normalizing working directory: ')
  context.checks.workdir(instruction, path, local.startsWith('/'))
  const workdir = joinWorkdir(slashPath(state.config.WorkingDir || '/', platform), local)
  const next: StageState = { ...state, workdir, config: { ...state.config, WorkingDir: nativePath(workdir, platform) } }
  if (workdir === '/') {
    // Counted all the same: `[2/5]` says where in the stage a step stands.
    context.steps.next(instructionText(instruction), instruction.kind)
    return withHistory(next, `WORKDIR ${workdir}`, 'empty')
  }
  const op: WorkdirOp = {
    kind: 'workdir',
    path: cleanPath(workdir),
    user: state.user,
    ...(context.epoch === undefined ? {} : { createdTime: context.epoch }),
  }
  const root = addStep(op, state, context)
  return withHistory({ ...next, root }, `WORKDIR ${workdir}`, 'layer')
}
