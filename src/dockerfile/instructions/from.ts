import { goQuote } from '../../go/quote.ts'
import type { Draft } from '../draft.ts'
import type { FromInstruction, Word } from '../instruction.ts'

const STAGE_NAME = /^[a-z][a-z0-9-_.]*$/

export function buildFrom(draft: Draft): FromInstruction {
  const [image, keyword, name, ...more] = draft.words()
  const named = name !== undefined && more.length === 0 && keyword?.text.toLowerCase() === 'as'
  if (image === undefined || (keyword !== undefined && !named)) {
    const hint = 'write FROM IMAGE or FROM IMAGE AS NAME; a comment needs a line of its own'
    throw draft.fail('FROM requires either one or three arguments', (more[0] ?? keyword)?.span, hint)
  }
  const alias = named ? stageName(draft, name) : undefined
  const platform = draft.flags({ platform: 'string' }).text('platform')
  return {
    ...draft.base,
    kind: 'from',
    image,
    ...(platform === undefined ? {} : { platform }),
    ...(alias === undefined ? {} : { alias }),
    ...(named && keyword !== undefined ? { aliasWritten: name.text, asKeyword: keyword.text } : {}),
  }
}

/** G1, G2 */
function stageName(draft: Draft, written: Word): string {
  const name = written.text.toLowerCase()
  if (STAGE_NAME.test(name)) return name
  const message = `invalid name for build stage: ${goQuote(written.text)}, name can't start with a number or contain symbols`
  throw draft.fail(message, written.span)
}
