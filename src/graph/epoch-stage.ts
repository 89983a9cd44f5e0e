import { TbuildError } from '../base/errors.ts'
import type { ArgInstruction, CopyInstruction, Directives, Stage } from '../dockerfile/instruction.ts'
import { expandWord } from '../dockerfile/word.ts'
import type { BuildArgValues } from './build-args.ts'
import type { Env } from './env.ts'
import type { GitOp, HttpOp } from './op.ts'
import { remoteKind, remoteOp } from './remote.ts'

const STAGE = 'SOURCE_DATE_EPOCH stage'

/** The one remote source of a stage that SOURCE_DATE_EPOCH names; it must have nothing else (d2l/epoch.go). Throws EPOCH_STAGE. */
export function sourceStageOp(stage: Stage, globals: Env, buildArgs: BuildArgValues, directives: Directives): GitOp | HttpOp {
  if (expandWord(stage.from.image.text, globals, directives).result !== 'scratch') throw refused(`${STAGE} must use FROM scratch`)
  let env = globals
  let found: GitOp | HttpOp | undefined
  for (const instruction of stage.instructions) {
    if (instruction.kind === 'arg') env = withArgs(instruction, env, buildArgs, directives)
    else if (instruction.kind !== 'add') {
      throw refused(`${STAGE} does not meet source-only requirements: unsupported ${instruction.keyword} instruction`)
    } else if (found !== undefined) throw refused(`${STAGE} must contain exactly one remote ADD`)
    else found = addSource(instruction, env, directives)
  }
  if (found === undefined) throw refused(`${STAGE} must contain exactly one remote ADD`)
  return found
}

/** Global ARGs need not be declared here. */
function withArgs({ args }: ArgInstruction, before: Env, buildArgs: BuildArgValues, directives: Directives): Env {
  let env = before
  for (const { name, value } of args) {
    const known = buildArgs.get(name) ?? (value === undefined ? undefined : expandWord(value, env, directives).result)
    if (known !== undefined) env = env.with(name, known)
  }
  return env
}

function addSource({ sources, heredocs, checksum, keepGitDir }: CopyInstruction, env: Env, directives: Directives): GitOp | HttpOp {
  const [written, ...more] = sources
  if (written === undefined || more.length > 0 || heredocs.length > 0) {
    throw refused(`${STAGE} must contain exactly one remote ADD source`)
  }
  const source = expandWord(written.text, env, directives).result
  const kind = remoteKind(source)
  if (kind === 'path') throw refused(`${STAGE} source must be a single HTTP(S) or Git ADD`)
  const sum = checksum === undefined ? undefined : expandWord(checksum.text, env, directives).result
  return remoteOp(source, kind, { checksum: sum, keepGitDir })
}

function refused(message: string): TbuildError {
  return new TbuildError('EPOCH_STAGE', message, { hint: 'such a stage is FROM scratch, with one ADD of a URL or repository' })
}
