import { isIP } from 'node:net'
import { errorCode, TbuildError } from './errors.ts'
import { goQuote } from './go-quote.ts'

/**
 * The container ports that EXPOSE's words name, as the image config writes them: `80/tcp`. A word is `[[ip:]host:]port[-port][/proto]`; the order of
 * the words is kept and a port named twice appears twice, as in BuildKit's history line (W11). Throws EXPOSE_INVALID.
 */
export function parseExposedPorts(words: readonly string[]): string[] {
  return words.flatMap(parsePort)
}

/** What the checks want to know of a word; undefined when it names no port. `isValid`: the rest of it is right, too. */
export function describePort(
  word: string,
): { readonly protocol: string; readonly isMapped: boolean; readonly isValid: boolean } | undefined {
  try {
    const { address, host, protocol } = splitWord(word)
    return { protocol, isMapped: address !== '' || host !== '', isValid: isPort(word) }
  } catch (error) {
    if (errorCode(error) !== 'EXPOSE_INVALID') throw error
    return undefined
  }
}

function isPort(word: string): boolean {
  try {
    parsePort(word)
    return true
  } catch (error) {
    if (errorCode(error) !== 'EXPOSE_INVALID') throw error
    return false
  }
}

function parsePort(word: string): string[] {
  const { address, host, range, protocol } = splitWord(word)
  checkAddress(address)
  const [first, last] = parseRange(range) ?? fail(`invalid containerPort: ${range}`)
  if (host !== '') {
    const [hostFirst, hostLast] = parseRange(host) ?? fail(`invalid hostPort: ${host}`)
    if (last !== first && last - first !== hostLast - hostFirst) {
      fail(`invalid ranges specified for container and host Ports: ${range} and ${host}`)
    }
  }
  return Array.from({ length: last - first + 1 }, (_, index) => `${first + index}/${protocol.toLowerCase()}`)
}

/** `protocol` is as written, tcp when it is not. */
function splitWord(word: string): { address: string; host: string; range: string; protocol: string } {
  const parts = word.split(':')
  const [range = '', ...protocols] = (parts.at(-1) as string).split('/')
  const protocol = protocols.join('/')
  if (range === '') fail(`invalid port: ${goQuote(word)}: no port specified`)
  if (!/^(tcp|udp|sctp)?$/i.test(protocol)) fail(`invalid port: ${goQuote(word)}: invalid proto: ${protocol}`)
  return { address: parts.slice(0, -2).join(':'), host: parts.at(-2) ?? '', range, protocol: protocol || 'tcp' }
}

function checkAddress(address: string): void {
  if (address === '') return
  const bare = address.replace(/^\[(.*)\]$/, '$1')
  // Node takes a zone, Go's net.ParseIP does not.
  if (isIP(bare) === 0 || bare.includes('%')) fail(`invalid IP address: ${bare}`)
}

/** Go's strconv.ParseInt takes a sign, too. */
function parseRange(text: string): [number, number] | undefined {
  const match = /^\+?(\d+)(?:-\+?(\d+))?$/.exec(text)
  if (!match) return undefined
  const first = Number(match[1])
  const last = Number(match[2] ?? match[1])
  return first <= last && last <= 65535 ? [first, last] : undefined
}

function fail(message: string): never {
  throw new TbuildError('EXPOSE_INVALID', message, { hint: 'write a port, a range or port/protocol, such as 80, 8000-8010 or 53/udp' })
}
