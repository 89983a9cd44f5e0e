import type { Draft } from '../draft.ts'
import type { FlagTypes } from '../flags.ts'
import { parseHeredocWord } from '../heredoc.ts'
import type { CopyInstruction, Heredoc, Word } from '../instruction.ts'

const COMMON = { chown: 'string', chmod: 'string', link: 'bool', exclude: 'list' } as const satisfies FlagTypes
const COPY: FlagTypes = { ...COMMON, from: 'string', parents: 'bool' }
const ADD: FlagTypes = { ...COMMON, 'keep-git-dir': 'bool', checksum: 'string', unpack: 'bool' }

export function buildCopy(draft: Draft, kind: 'copy' | 'add'): CopyInstruction {
  const words = draft.words()
  const destination = words.at(-1)
  if (words.length < 2 || destination === undefined) {
    throw draft.fail(`${draft.name} requires at least two arguments, but only one was provided. Destination could not be determined`)
  }
  const flags = draft.flags(kind === 'copy' ? COPY : ADD)
  if (parseHeredocWord(destination.text)) throw draft.fail(`${draft.name} cannot accept a heredoc as a destination`, destination.span)
  const keepGitDir = flags.bool('keep-git-dir')
  const unpack = flags.bool('unpack')
  const optional = { from: flags.text('from'), chown: flags.text('chown'), chmod: flags.text('chmod'), checksum: flags.text('checksum') }
  return {
    ...draft.base,
    kind,
    ...sortSources(draft, words.slice(0, -1)),
    destination,
    ...present(optional),
    link: flags.bool('link') ?? false,
    parents: flags.bool('parents') ?? false,
    exclude: flags.list('exclude'),
    ...(keepGitDir === undefined ? {} : { keepGitDir }),
    ...(unpack === undefined ? {} : { unpack }),
  }
}

/** Two heredocs of one name both have the body of the last, and one that the line does not announce (in a JSON array) is empty: as in BuildKit. */
function sortSources(draft: Draft, words: readonly Word[]): { sources: Word[]; heredocs: Heredoc[] } {
  const sources: Word[] = []
  const heredocs: Heredoc[] = []
  for (const word of words) {
    const found = parseHeredocWord(word.text)
    if (found === undefined) {
      sources.push(word)
      continue
    }
    const body = draft.heredocs.findLast(({ name }) => name === found.name)
    heredocs.push({ ...found, content: body?.content ?? '', raw: body?.raw ?? '', span: body?.span ?? word.span })
  }
  return { sources, heredocs }
}

function present<T extends Record<string, Word | undefined>>(words: T): { [K in keyof T]?: Word } {
  return Object.fromEntries(Object.entries(words).filter(([, word]) => word !== undefined)) as { [K in keyof T]?: Word }
}
