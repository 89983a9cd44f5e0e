import type { Change, FileChange, MissCause, Verdict } from '../base/explanation.ts'
import { oneLine } from './text.ts'

/** Longer values are cut: an environment variable may be a whole file. */
const SHOWN = 120

/** What explain says of a step, without its name. `nameOf` gives the name of another step by its id. */
export function verdictLines(verdict: Verdict, nameOf: (id: string) => string): string[] {
  switch (verdict.state) {
    case 'hit':
      return verdict.sameFiles ? ['the steps below ran again and made the same files'] : []
    case 'unknown':
      return [`unknown until ${verdict.waitsFor.map(nameOf).join(' and ')} has run`]
    case 'miss':
      return causeLines(verdict.cause, nameOf)
  }
}

function causeLines(cause: MissCause, nameOf: (id: string) => string): string[] {
  switch (cause.reason) {
    case 'first':
      return ['no earlier record of this step']
    case 'no-cache':
      return ['the cache is switched off (--no-cache)']
    case 'lost':
      return ['nothing changed, but the files of the record are gone']
    case 'changed':
      return [...cause.changes.flatMap((change) => changeLines(change, nameOf)), ...advice(cause.changes)]
  }
}

function changeLines(change: Change, nameOf: (id: string) => string): string[] {
  switch (change.type) {
    case 'step':
      return [`because of ${nameOf(change.id)}`]
    case 'base':
      return [`base image ${oneLine(change.name)}: ${value(change.from)} → ${value(change.to)}`]
    case 'command':
      return [`command: ${value(change.from)} → ${value(change.to)}`]
    case 'variable':
      return [variableLine(change)]
    case 'part':
      return [`${change.name}: ${value(change.from)} → ${value(change.to)}`]
    case 'files':
      return fileLines(change)
  }
}

function variableLine({ kind, name, from, to, secret, used }: Extract<Change, { type: 'variable' }>): string {
  const values = secret
    ? `${from === undefined ? 'set' : to === undefined ? 'removed' : 'changed'} (value hidden)`
    : `${value(from)} → ${value(to)}`
  return `${kind} ${name}: ${values}, ${used ? 'used by the command' : 'not mentioned in the command'}`
}

function fileLines({ origin, files, more }: Extract<Change, { type: 'files' }>): string[] {
  if (files === undefined) return [`files of ${oneLine(origin)} changed`]
  const where = origin === 'build context' ? '' : ` (${oneLine(origin)})`
  const lines = files.map((file) => `${oneLine(file.path)}: ${fileText(file)}${where}`)
  return more === 0 ? lines : [...lines, `… and ${more} more files`]
}

function fileText({ change, from, to }: FileChange): string {
  if (change === 'added' || change === 'removed') return change
  return change === 'content' ? 'content changed' : `${change} ${from} → ${to}`
}

/** What would avoid it. */
function advice(changes: readonly Change[]): string[] {
  const files = changes.flatMap((change) => (change.type === 'files' ? [change] : []))
  const onlyFiles = changes.every(({ type }) => type === 'files' || type === 'step')
  const onlyModes = onlyFiles && files.every(({ files: list, more }) => more === 0 && list?.every(sameForGit))
  return onlyModes && files.length > 0 ? ['only modes differ: --normalize-modes counts what git keeps of them'] : []
}

function sameForGit({ change, from, to }: FileChange): boolean {
  const executable = (mode: string | undefined) => (Number.parseInt(mode ?? '', 8) & 0o100) !== 0
  return change === 'mode' && executable(from) === executable(to)
}

function value(text: string | undefined): string {
  if (text === undefined) return '(none)'
  if (text === '') return '""'
  const line = oneLine(text)
  return line.length > SHOWN ? `${line.slice(0, SHOWN)}…` : line
}
