import { isTbuildError } from '../../base/errors.ts'
import { parseGoDuration } from '../../go/duration.ts'
import { goQuote } from '../../go/quote.ts'
import type { Draft } from '../draft.ts'
import type { FlagTypes } from '../flags.ts'
import type { CommandLine, HealthcheckInstruction, Word } from '../instruction.ts'

const FLAGS: FlagTypes = {
  interval: 'string',
  timeout: 'string',
  'start-period': 'string',
  'start-interval': 'string',
  retries: 'string',
}
const MILLISECOND = 1_000_000n

/** W10. The flags of NONE are not looked at, as in BuildKit. */
export function buildHealthcheck(draft: Draft): HealthcheckInstruction {
  const { args } = draft.statement
  if (args.form !== 'check' || args.type === null) throw draft.needsArguments()
  const type = args.type.value.toUpperCase()
  const command = draft.command(args.command)
  const empty = command.form === 'shell' ? command.command === '' : command.args.length === 0
  if (type === 'NONE') {
    if (!empty) throw draft.fail('HEALTHCHECK NONE takes no arguments')
    return { ...draft.base, kind: 'healthcheck' }
  }
  const flags = draft.flags(FLAGS)
  if (type !== 'CMD') throw draft.fail(`Unknown type ${goQuote(type)} in HEALTHCHECK (try CMD)`, draft.span(args.type))
  if (empty) throw draft.fail('Missing command after HEALTHCHECK CMD')
  const duration = (name: string) => parseInterval(draft, name, flags.text(name))
  return check(draft, command, {
    interval: duration('interval'),
    timeout: duration('timeout'),
    startPeriod: duration('start-period'),
    startInterval: duration('start-interval'),
    retries: parseRetries(draft, flags.text('retries')),
  })
}

type Limits = { [K in 'interval' | 'timeout' | 'startPeriod' | 'startInterval']: bigint | undefined } & { retries: number | undefined }

function check(draft: Draft, test: CommandLine, limits: Limits): HealthcheckInstruction {
  const set = Object.fromEntries(Object.entries(limits).filter(([, value]) => value !== undefined))
  return { ...draft.base, kind: 'healthcheck', test, ...set }
}

/** undefined is to inherit, which 0 also means. */
function parseInterval(draft: Draft, name: string, word: Word | undefined): bigint | undefined {
  if (word === undefined) return undefined
  let duration: bigint
  try {
    duration = parseGoDuration(word.text)
  } catch (error) {
    if (!isTbuildError(error)) throw error
    throw draft.fail(error.message, word.span, error.hint)
  }
  if (duration === 0n) return undefined
  if (duration < MILLISECOND) throw draft.fail(`Interval ${goQuote(name)} cannot be less than 1ms`, word.span)
  return duration
}

function parseRetries(draft: Draft, word: Word | undefined): number | undefined {
  if (word === undefined) return undefined
  const problem = (text: string) => draft.fail(`strconv.ParseInt: parsing ${goQuote(word.text)}: ${text}`, word.span, 'write a number')
  if (!/^[+-]?[0-9]+$/.test(word.text)) throw problem('invalid syntax')
  const retries = Number(word.text)
  if (retries > 2 ** 31 - 1 || retries < -(2 ** 31)) throw problem('value out of range')
  if (retries < 0) throw draft.fail(`--retries cannot be negative (${retries})`, word.span)
  return retries
}
