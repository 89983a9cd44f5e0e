import { usage } from '../usage.ts'

/** Switches that docker's flag parser (pflag) also takes as `--name=true` or `--name=false`. */
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
  'explain',
  'dry-run',
  'fail-on-miss',
]

/** The command line with `--switch=true` as `--switch`, and `--switch=false` left out. Nothing after `--` is touched. */
export function normalizeSwitches(args: readonly string[]): string[] {
  const end = args.indexOf('--')
  const options = end === -1 ? args : args.slice(0, end)
  const rest = end === -1 ? [] : args.slice(end)
  const result = options.flatMap((arg) => {
    const match = /^--([a-z-]+)=(.*)$/s.exec(arg)
    if (!match || !SWITCHES.includes(match[1] as string)) return [arg]
    const value = (match[2] as string).toLowerCase()
    if (['true', 't', '1'].includes(value)) return [`--${match[1]}`]
    if (['false', 'f', '0'].includes(value)) return []
    throw usage(`invalid argument ${JSON.stringify(match[2])} for --${match[1]}: expected true or false`)
  })
  return [...result, ...rest]
}
