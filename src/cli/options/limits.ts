import { usage } from '../usage.ts'

const NAMES = [
  'core',
  'cpu',
  'data',
  'fsize',
  'locks',
  'memlock',
  'msgqueue',
  'nice',
  'nofile',
  'nproc',
  'rss',
  'rtprio',
  'rttime',
  'sigpending',
  'stack',
]

/** `--ulimit NAME=SOFT[:HARD]`; -1 is unlimited; one number is both. Names are setrlimit(2)'s. */
export function ulimit(text: string): { name: string; soft: number; hard: number } {
  const match = /^([^=]+)=(-?\d+)(?::(-?\d+))?$/.exec(text)
  if (!match) throw usage(`invalid ulimit argument: ${text}`, 'write --ulimit NAME=SOFT[:HARD], for example nofile=1024:2048')
  const name = match[1] as string
  if (!NAMES.includes(name)) throw usage(`invalid ulimit type: ${name}`, `types are ${NAMES.join(', ')}`)
  const soft = Number(match[2])
  const hard = match[3] === undefined ? soft : Number(match[3])
  for (const value of [soft, hard]) {
    if (value < -1 || !Number.isSafeInteger(value)) throw usage(`invalid ulimit argument: ${text}: a limit is -1 or more`)
  }
  if (hard !== -1 && (soft === -1 || soft > hard)) {
    throw usage(`ulimit soft limit must be less than or equal to hard limit: ${soft} > ${hard}`)
  }
  return { name, soft, hard }
}

const SIZE = /^(\d+(?:\.\d+)?) ?([kmgtp]?)(?:i?b)?$/i

/** Bytes as docker reads them: `64m`, `1.5g`, `67108864`, `1GiB`; every unit is binary. */
export function byteSize(text: string, option: string): number {
  const match = SIZE.exec(text)
  if (!match) throw usage(`invalid ${option} value ${JSON.stringify(text)}: expected a size`, 'for example 64m or 1g')
  const power = ['', 'k', 'm', 'g', 't', 'p'].indexOf((match[2] ?? '').toLowerCase())
  return Math.floor(Number(match[1]) * 1024 ** power)
}

/** `--jobs N`. */
export function jobs(text: string): number {
  if (!/^[1-9]\d{0,4}$/.test(text)) throw usage(`invalid --jobs ${JSON.stringify(text)}: expected a number of 1 or more`)
  return Number(text)
}
