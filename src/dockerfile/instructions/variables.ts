import type { GrammarToken } from '../../../grammar/parse.ts'
import type { Draft } from '../draft.ts'
import type { ArgInstruction, EnvInstruction, KeyValue, LabelInstruction } from '../instruction.ts'

export function buildEnv(draft: Draft): EnvInstruction {
  draft.flags({})
  return { ...draft.base, kind: 'env', ...pairs(draft) }
}

export function buildLabel(draft: Draft): LabelInstruction {
  draft.flags({})
  return { ...draft.base, kind: 'label', ...pairs(draft) }
}

/** BuildKit does not look at the flags of ARG. */
export function buildArg(draft: Draft): ArgInstruction {
  const { args } = draft.statement
  if (args.form !== 'pairs' || args.items.length === 0) throw draft.needsArguments()
  return {
    ...draft.base,
    kind: 'arg',
    args: args.items.map((token) => {
      if (token.type === 'bare') return { name: token.value, span: draft.span(token) }
      const { key, value, span } = pair(draft, token)
      return { name: key, value, span }
    }),
  }
}

/** P17 */
function pairs(draft: Draft): { pairs: KeyValue[]; legacy: boolean } {
  const { args } = draft.statement
  if (args.form === 'legacy') {
    const { name, value } = args
    const span = draft.line.span(name.offset, value.offset + value.value.length)
    return { pairs: [{ key: name.value, value: value.value, span }], legacy: true }
  }
  if (args.form !== 'pairs' || args.items.length === 0) throw draft.needsArguments()
  return { pairs: args.items.map((token) => pair(draft, token)), legacy: false }
}

function pair(draft: Draft, token: GrammarToken): KeyValue {
  const equals = token.value.indexOf('=')
  if (equals === 0) throw draft.fail(`${draft.name} names can not be blank`, draft.span(token))
  return { key: token.value.slice(0, equals), value: token.value.slice(equals + 1), span: draft.span(token) }
}
