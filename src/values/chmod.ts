import { TbuildError } from '../base/errors.ts'
import { S_IFDIR, S_IFMT } from '../base/sys-constants.ts'

/** F21: what --chmod makes of a file's mode. */
export interface ModeChange {
  /** Of an octal mode: given to created parents, too. */
  readonly fixed?: number
  apply(mode: number): number
}

const CLASS = { u: 0o4700, g: 0o2070, o: 0o1007 } as const
const EVERY = 0o7777

/** Octal 0 to 07777 or chmod(1)'s symbolic form (`u+x,go=rX`), evaluated with umask 0. */
export function parseChmod(text: string): ModeChange {
  if (/^[0-7]+$/.test(text)) {
    const fixed = Number.parseInt(text, 8)
    if (fixed <= EVERY) return { fixed, apply: () => fixed }
  }
  const clauses = text.split(',')
  if (!clauses.every((clause) => /^[ugoa]*([-+=]([rwxXst]*|[ugo]))+$/.test(clause))) throw invalid(text)
  return { apply: (mode) => clauses.reduce(applyClause, mode) & EVERY }
}

function invalid(text: string): TbuildError {
  const octal = `invalid chmod parameter: '${text}'. it should be octal string and between 0 and 07777`
  return new TbuildError('CHMOD_INVALID', /^[0-9]/.test(text) ? octal : 'invalid syntax', {
    hint: 'write an octal mode such as 0755, or a symbolic one such as u+x,go-w',
  })
}

function applyClause(mode: number, clause: string): number {
  const [, who = '', actions = ''] = /^([ugoa]*)(.*)$/.exec(clause) as RegExpExecArray
  const classes = who === '' || who.includes('a') ? 'ugo' : who
  const mask = [...classes].reduce((bits, name) => bits | CLASS[name as keyof typeof CLASS], 0)
  for (const [, operator, permissions = ''] of actions.matchAll(/([-+=])([rwxXstugo]*)/g)) {
    const bits = bitsOf(permissions, mode, classes) & mask
    if (operator === '+') mode |= bits
    else if (operator === '-') mode &= ~bits
    else mode = (mode & ~mask) | bits
  }
  return mode
}

function bitsOf(permissions: string, mode: number, classes: string): number {
  let bits = 0
  for (const letter of permissions) {
    if (letter === 'r') bits |= 0o444
    else if (letter === 'w') bits |= 0o222
    else if (letter === 'x') bits |= 0o111
    else if (letter === 'X') bits |= (mode & S_IFMT) === S_IFDIR || (mode & 0o111) !== 0 ? 0o111 : 0
    else if (letter === 's') bits |= (classes.includes('u') ? 0o4000 : 0) | (classes.includes('g') ? 0o2000 : 0)
    else if (letter === 't') bits |= 0o1000
    else {
      const shift = { u: 6, g: 3, o: 0 }[letter] ?? 0
      bits |= ((mode >> shift) & 7) * 0o111
    }
  }
  return bits
}
