import { TbuildError } from './errors.ts'

/** The signals of signal(7) that Docker knows by name; RTMIN+1 to RTMAX-1 are computed. */
const NAMES = new Set(
  (
    'ABRT ALRM BUS CHLD CLD CONT FPE HUP ILL INT IO IOT KILL PIPE POLL PROF PWR QUIT SEGV STKFLT STOP SYS TERM TRAP TSTP TTIN TTOU URG ' +
    'USR1 USR2 VTALRM WINCH XCPU XFSZ RTMIN RTMAX'
  ).split(' '),
)

/** Throws SIGNAL_INVALID unless `text` is a signal as STOPSIGNAL takes it: a name with or without SIG in any case, or a number but 0 (W13). */
export function assertSignal(text: string): void {
  if (/^[+-]?\d+$/.test(text)) {
    if (Number(text) !== 0 && Number.isSafeInteger(Number(text))) return
  } else if (isSignalName(text.toUpperCase().replace(/^SIG/, ''))) return
  throw new TbuildError('SIGNAL_INVALID', `invalid signal: ${text}`, { hint: 'write a signal of signal(7), such as SIGTERM or 15' })
}

function isSignalName(name: string): boolean {
  if (NAMES.has(name)) return true
  const realtime = /^RT(MIN\+|MAX-)([1-9]\d?)$/.exec(name)
  return realtime !== null && Number(realtime[2]) <= (realtime[1] === 'MIN+' ? 15 : 14)
}
