import type { Keyword } from '../../../grammar/lexer.ts'
import type { Draft } from '../draft.ts'
import type { Instruction } from '../instruction.ts'
import { buildCopy } from './copy.ts'
import { buildFrom } from './from.ts'
import { buildHealthcheck } from './healthcheck.ts'
import {
  buildCmd,
  buildExpose,
  buildMaintainer,
  buildOnbuild,
  buildShell,
  buildStopSignal,
  buildUser,
  buildVolume,
  buildWorkdir,
} from './metadata.ts'
import { buildRun } from './run.ts'
import { buildArg, buildEnv, buildLabel } from './variables.ts'

/** How each instruction is checked and typed. The order of the checks within one is BuildKit's: it decides which of two errors is shown. */
export const BUILDERS: { readonly [K in Keyword]: (draft: Draft) => Instruction & { readonly kind: K } } = {
  add: (draft) => ({ ...buildCopy(draft, 'add'), kind: 'add' }),
  arg: buildArg,
  cmd: (draft) => ({ ...buildCmd(draft, 'cmd'), kind: 'cmd' }),
  copy: (draft) => ({ ...buildCopy(draft, 'copy'), kind: 'copy' }),
  entrypoint: (draft) => ({ ...buildCmd(draft, 'entrypoint'), kind: 'entrypoint' }),
  env: buildEnv,
  expose: buildExpose,
  from: buildFrom,
  healthcheck: buildHealthcheck,
  label: buildLabel,
  maintainer: buildMaintainer,
  onbuild: buildOnbuild,
  run: buildRun,
  shell: buildShell,
  stopsignal: buildStopSignal,
  user: buildUser,
  volume: buildVolume,
  workdir: buildWorkdir,
}
