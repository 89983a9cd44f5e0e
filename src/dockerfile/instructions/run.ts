import { errorCode } from '../../base/errors.ts'
import { goQuote } from '../../go/quote.ts'
import type { Draft } from '../draft.ts'
import type { FlagTypes } from '../flags.ts'
import type { RunInstruction, Word } from '../instruction.ts'
import { checkMount } from '../mount.ts'

const FLAGS: FlagTypes = { mount: 'list', network: 'string', security: 'string', device: 'list' }

export function buildRun(draft: Draft): RunInstruction {
  const flags = draft.flags(FLAGS)
  const mounts = flags.list('mount')
  for (const mount of mounts) refuseMount(draft, mount)
  const network = oneOf(draft, flags.list('network')[0], ['default', 'none', 'host'], (value) => `invalid network mode ${value}`)
  const security = oneOf(draft, flags.list('security')[0], ['sandbox', 'insecure'], (value) => `security ${value} is not valid`)
  return {
    ...draft.base,
    kind: 'run',
    command: draft.command(),
    heredocs: draft.heredocs,
    mounts,
    ...(network === undefined ? {} : { network }),
    ...(security === undefined ? {} : { security }),
    devices: flags.list('device'),
  }
}

function refuseMount(draft: Draft, mount: Word): void {
  try {
    checkMount(mount.text)
  } catch (error) {
    throw errorCode(error) === 'MOUNT_INVALID' ? draft.fail((error as Error).message, mount.span) : error
  }
}

function oneOf(draft: Draft, word: Word | undefined, values: readonly string[], message: (quoted: string) => string): Word | undefined {
  if (word === undefined || values.includes(word.text)) return word
  throw draft.fail(message(goQuote(word.text)), word.span, `it is one of ${values.join(', ')}`)
}
