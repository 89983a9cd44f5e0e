import { goQuote } from '../../base/go-quote.ts'
import type { Instruction, Stage, StagedDockerfile } from '../instruction.ts'
import type { Report } from './lint.ts'

const SECRET = /(?:_|^)(?:apikey|auth|credentials?|key|password|pword|passwd|secret|token)(?:_|$)/i
const NO_SECRET = /(?:_|^)(?:public|file|version)(?:_|$)/i

/** What a stage hands to the stages built on it, as far as checks care. */
interface Inherited {
  readonly shell: boolean
  readonly workdir: boolean
}

/** Checks of what stands in the stages. */
export function checkInstructions({ globals, stages }: StagedDockerfile, report: Report): void {
  for (const arg of globals) checkSecrets(arg, report)
  const ends = new Map<string, Inherited>()
  for (const stage of stages) {
    checkRepeats(stage, report)
    const start = ends.get(stage.from.image.text) ?? { shell: false, workdir: false }
    const end = stage.instructions.reduce((state, instruction) => checkOne(instruction, state, report), start)
    if (stage.name !== undefined) ends.set(stage.name, end)
  }
}

function checkOne(instruction: Instruction, state: Inherited, report: Report): Inherited {
  switch (instruction.kind) {
    case 'shell':
      return { ...state, shell: true }
    case 'workdir':
      return checkWorkdir(instruction, state, report)
    case 'cmd':
    case 'entrypoint':
      checkForm(instruction, state, report)
      break
    case 'maintainer':
      report('MaintainerDeprecated', instruction, 'Maintainer instruction is deprecated in favor of using label')
      break
    case 'env':
    case 'label':
      checkLegacy(instruction, report)
      if (instruction.kind === 'env') checkSecrets(instruction, report)
      break
    case 'arg':
      checkSecrets(instruction, report)
      break
    case 'expose':
      checkPorts(instruction, report)
  }
  return state
}

type Of<K extends Instruction['kind']> = Extract<Instruction, { kind: K }>

function checkForm(instruction: Of<'cmd' | 'entrypoint'>, { shell }: Inherited, report: Report): void {
  if (shell || instruction.command.form === 'exec') return
  const name = instruction.kind.toUpperCase()
  report('JSONArgsRecommended', instruction, `JSON arguments recommended for ${name} to prevent unintended behavior related to OS signals`)
}

/** A path that begins with a variable may be either; only what is certainly relative is reported. */
function checkWorkdir(instruction: Of<'workdir'>, state: Inherited, report: Report): Inherited {
  const path = instruction.path.text.replace(/^["']/, '')
  if (path.startsWith('/') || path.startsWith('$')) return { ...state, workdir: true }
  if (!state.workdir) {
    const message = `Relative workdir ${goQuote(instruction.path.text)} can have unexpected results if the base image changes`
    report('WorkdirRelativePath', instruction, message)
  }
  return state
}

function checkLegacy(instruction: Of<'env' | 'label'>, report: Report): void {
  if (!instruction.legacy) return
  const name = instruction.kind.toUpperCase()
  report('LegacyKeyValueFormat', instruction, `"${name} key=value" should be used instead of legacy "${name} key value" format`)
}

function checkSecrets(instruction: Of<'arg' | 'env'>, report: Report): void {
  const names = instruction.kind === 'arg' ? instruction.args.map(({ name }) => name) : instruction.pairs.map(({ key }) => key)
  const kind = instruction.kind.toUpperCase()
  for (const name of names) {
    if (!SECRET.test(name) || NO_SECRET.test(name)) continue
    report('SecretsUsedInArgOrEnv', instruction, `Do not use ARG or ENV instructions for sensitive data (${kind} ${goQuote(name)})`)
  }
}

/** Ports with variables are known only when they are expanded. */
function checkPorts(instruction: Of<'expose'>, report: Report): void {
  for (const { text } of instruction.ports) {
    if (text.includes('$')) continue
    const [address = '', protocol = ''] = text.split('/')
    if (protocol !== protocol.toLowerCase()) {
      report('ExposeProtoCasing', instruction, `Defined protocol '${text}' in EXPOSE instruction should be lowercase`)
    }
    if (address.includes(':')) {
      report('ExposeInvalidFormat', instruction, `EXPOSE instruction should not define an IP address or host-port mapping, found '${text}'`)
    }
  }
}

/** All but the last of a kind are without effect. */
function checkRepeats(stage: Stage, report: Report): void {
  for (const kind of ['cmd', 'entrypoint', 'healthcheck'] as const) {
    const all = stage.instructions.filter((instruction) => instruction.kind === kind)
    for (const instruction of all.slice(0, -1)) {
      const message = `Multiple ${kind.toUpperCase()} instructions should not be used in the same stage because only the last one will be used`
      report('MultipleInstructionsDisallowed', instruction, message)
    }
  }
}
