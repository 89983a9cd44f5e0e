import { isIP } from 'node:net'
import { TbuildError } from '../base/errors.ts'
import { goQuote } from '../go/quote.ts'

/**
 * The container ports that EXPOSE's words name, as the image config writes them: `80/tcp`. A word is `[[ip:]host:]port[-port][/proto]`; the order of
 * the words is kept and a port named twice appears twice, as in BuildKit's history line (W11). Throws EXPOSE_INVALID.
 */
export function parseExposedPorts(words: readonly string[]): string[] {
  return words.flatMap((word) => {
    const parts = splitWord(word)
    if (typeof parts === 'string') throw invalid(parts)
    const range = rangeOf(parts)
    if (typeof range === 'string') throw invalid(range)
    const [first, last] = range
    return Array.from({ length: last - first + 1 }, (_, index) => `${first + index}/${parts.protocol.toLowerCase()}`)
  })
}

/** What the checks want to know of a word; undefined when it names no port. `isValid`: the rest of it is right, too. */
export function describePort(
  word: string,
): { readonly protocol: string; readonly isMapped: boolean; readonly isValid: boolean } | undefined {
  const parts = splitWord(word)
  if (typeof parts === 'string') return undefined
  const { address, host, protocol } = parts
  return { protocol, isMapped: address !== '' || host !== '', isValid: typeof rangeOf(parts) !== 'string' }
}

interface WordParts {
  readonly address: string
  readonly host: string
  readonly range: string
  /** As written, tcp when it is not. */
  readonly protocol: string
}

/** A text is what is wrong. */
function splitWord(word: string): WordParts | string {
  const parts = word.split(':')
  const [range = '', ...protocols] = (parts.at(-1) as string).split('/')
  const protocol = protocols.join('/')
  if (range === '') return `invalid port: ${goQuote(word)}: no port specified`
  if (!/^(tcp|udp|sctp)?$/i.test(protocol)) return `invalid port: ${goQuote(word)}: invalid proto: ${protocol}`
  return { address: parts.slice(0, -2).join(':'), host: parts.at(-2) ?? '', range, protocol: protocol || 'tcp' }
}

/** First and last of the container's ports; a text is what is wrong. */
function rangeOf({ address, host, range }: WordParts): readonly [number, number] | string {
  const problem = address.startsWith('[') ? bracketProblem(`${address}:`) : undefined
  if (problem !== undefined) return `invalid IP address ${address}: address ${address}:: ${problem}`
  const bare = address.replace(/^\[(.*)\]$/, '$1')
  // Node takes a zone, Go's net.ParseIP does not.
  if (address !== '' && (isIP(bare) === 0 || bare.includes('%'))) return `invalid IP address: ${bare}`
  const ports = parseRange(range)
  if (ports === undefined) return `invalid containerPort: ${range}`
  const hostPorts = host === '' ? ports : parseRange(host)
  if (hostPorts === undefined) return `invalid hostPort: ${host}`
  const length = ports[1] - ports[0]
  return length === 0 || length === hostPorts[1] - hostPorts[0]
    ? ports
    : `invalid ranges specified for container and host Ports: ${range} and ${host}`
}

/** What Go's net.SplitHostPort finds wrong with a text that begins with [ and ends with a colon. */
function bracketProblem(text: string): string | undefined {
  const end = text.indexOf(']')
  if (end < 0) return "missing ']' in address"
  if (end + 1 !== text.length - 1) return text[end + 1] === ':' ? 'too many colons in address' : 'missing port in address'
  return text.indexOf('[', 1) < 0 ? undefined : "unexpected '[' in address"
}

/** Go's strconv.ParseInt takes a sign, too. */
function parseRange(text: string): [number, number] | undefined {
  const match = /^\+?(\d+)(?:-\+?(\d+))?$/.exec(text)
  if (!match) return undefined
  const first = Number(match[1])
  const last = Number(match[2] ?? match[1])
  return first <= last && last <= 65535 ? [first, last] : undefined
}

function invalid(problem: string): TbuildError {
  return new TbuildError('EXPOSE_INVALID', problem, { hint: 'write a port, a range or port/protocol, such as 80, 8000-8010 or 53/udp' })
}
