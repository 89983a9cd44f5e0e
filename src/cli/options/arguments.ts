import { parseGoBool } from '../../go/bool.ts'
import { usage } from '../usage.ts'

/** All switches: docker's flag parser (pflag) also takes them as `--name=true` or `--name=false`. Other options take a value. */
const SWITCHES = [
  'no-cache',
  'pull',
  'push',
  'quiet',
  'rm',
  'force-rm',
  'compress',
  'squash',
  'load',
  'check',
  'help',
  'version',
  'debug',
  'explain',
  'dry-run',
  'fail-on-miss',
  'reset-cache-mounts',
  'normalize-modes',
  'no-normalize-modes',
  'no-trunc',
  'all',
  'check-only',
]

/** Short names of switches; other short options take a value. */
const SHORT: Readonly<Record<string, string>> = { q: 'quiet', D: 'debug', h: 'help', v: 'version', a: 'all' }

/** How docker spells the command besides `build`. */
const SPELLINGS: Readonly<Record<string, readonly string[]>> = { buildx: ['build', 'b'], builder: ['build'], image: ['build'] }

/** The command line as commander reads it: in docker's other spellings of `build`, and with pflag's ways to write a value. Nothing after `--` is touched. */
export function normalizeArguments(args: readonly string[]): string[] {
  const [group = '', command = '', ...others] = args
  const spelled = SPELLINGS[group]?.includes(command) ? ['build', ...others] : args
  const result: string[] = []
  for (let index = 0; index < spelled.length; index += 1) {
    const arg = spelled[index] as string
    if (arg === '--') return [...result, ...spelled.slice(index)]
    result.push(...normalizeOption(arg))
    if (!takesNext(arg)) continue
    index += 1
    result.push(...spelled.slice(index, index + 1))
  }
  return result
}

/** Whether the next argument is the value of this one, whatever it looks like. */
function takesNext(arg: string): boolean {
  const long = /^--([a-z-]+)$/.exec(arg)?.[1]
  if (long !== undefined) return !SWITCHES.includes(long)
  const short = /^-([A-Za-z]+)$/.exec(arg)?.[1] ?? ''
  const first = [...short].findIndex((letter) => SHORT[letter] === undefined)
  return first !== -1 && first === short.length - 1
}

/** `--switch=true` as `--switch`, `--switch=false` left out, `-t=name` as `-t name`. */
function normalizeOption(arg: string): string[] {
  const short = /^-([A-Za-z])=(.*)$/s.exec(arg)
  const name = short?.[1] ?? ''
  // With nothing behind it the sign itself is the value (pflag).
  if (short && SHORT[name] === undefined) return [`-${name}`, short[2] || '=']
  const match = short ? [arg, SHORT[name], short[2]] : /^--([a-z-]+)=(.*)$/s.exec(arg)
  if (!match || !SWITCHES.includes(match[1] as string)) return [arg]
  const on = parseGoBool(match[2] as string)
  if (on === undefined) throw usage(`invalid argument ${JSON.stringify(match[2])} for --${match[1]}: expected true or false`)
  if (on) return [`--${match[1]}`]
  return match[1] === 'normalize-modes' ? ['--no-normalize-modes'] : []
}
