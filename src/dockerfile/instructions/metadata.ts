import { trimEnd, trimStart } from '../../../grammar/lexer.ts'
import type { Draft } from '../draft.ts'
import type {
  CmdInstruction,
  ExposeInstruction,
  MaintainerInstruction,
  OnbuildInstruction,
  ShellInstruction,
  StopSignalInstruction,
  UserInstruction,
  VolumeInstruction,
  WorkdirInstruction,
} from '../instruction.ts'

export function buildCmd(draft: Draft, kind: 'cmd' | 'entrypoint'): CmdInstruction {
  draft.flags({})
  return { ...draft.base, kind, command: draft.command() }
}

/** P20 */
export function buildShell(draft: Draft): ShellInstruction {
  draft.flags({})
  const command = draft.command()
  if (command.form === 'shell' && command.command !== '') {
    throw draft.fail('SHELL requires the arguments to be in JSON form', undefined, 'write SHELL ["/bin/bash", "-c"]')
  }
  if (command.form === 'shell' || command.args.length === 0) throw draft.needsArguments()
  return { ...draft.base, kind: 'shell', shell: command.args }
}

export function buildExpose(draft: Draft): ExposeInstruction {
  const ports = draft.words()
  if (ports.length === 0) throw draft.needsArguments()
  draft.flags({})
  return { ...draft.base, kind: 'expose', ports }
}

/** W12 */
export function buildVolume(draft: Draft): VolumeInstruction {
  const words = draft.words()
  if (words.length === 0) throw draft.needsArguments()
  draft.flags({})
  const volumes = words.map(({ text, span }) => ({ text: trimEnd(trimStart(text)), span }))
  const empty = volumes.find(({ text }) => text === '')
  if (empty) throw draft.fail('VOLUME specified can not be an empty string', empty.span)
  return { ...draft.base, kind: 'volume', volumes }
}

export function buildUser(draft: Draft): UserInstruction {
  const user = draft.only()
  draft.flags({})
  return { ...draft.base, kind: 'user', user }
}

export function buildWorkdir(draft: Draft): WorkdirInstruction {
  const path = draft.only()
  draft.flags({})
  return { ...draft.base, kind: 'workdir', path }
}

/** BuildKit does not look at the flags of STOPSIGNAL. */
export function buildStopSignal(draft: Draft): StopSignalInstruction {
  return { ...draft.base, kind: 'stopsignal', signal: draft.only() }
}

export function buildMaintainer(draft: Draft): MaintainerInstruction {
  const name = draft.only()
  draft.flags({})
  return { ...draft.base, kind: 'maintainer', name }
}

/** O1, O2. Only the trigger's syntax is right by now; its arguments are checked where it runs. */
export function buildOnbuild(draft: Draft): OnbuildInstruction {
  const { args } = draft.statement
  if (args.form !== 'trigger' || args.statement === null) throw draft.needsArguments()
  draft.flags({})
  const { keyword } = args.statement
  const name = keyword.value.toUpperCase()
  const span = draft.span(keyword)
  if (name === 'ONBUILD') throw draft.fail("Chaining ONBUILD via `ONBUILD ONBUILD` isn't allowed", span)
  if (name === 'FROM' || name === 'MAINTAINER') throw draft.fail(`${name} isn't allowed as an ONBUILD trigger`, span)
  const bodies = draft.heredocs.map((heredoc) => `\n${heredoc.raw}${heredoc.name}`)
  return { ...draft.base, kind: 'onbuild', expression: draft.line.text.replace(/^\s*ONBUILD\s*/i, '') + bodies.join('') }
}
