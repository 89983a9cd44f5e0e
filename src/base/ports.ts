import { isIP } from 'node:net'
import { TbuildError } from './errors.ts'

/**
 * The container ports that EXPOSE's words name, as the image config writes them: `80/tcp`. A word is `[[ip:]host:]port[-port][/proto]`; the order of
 * the words is kept and a port named twice appears twice, as in BuildKit's history line (W11). Throws EXPOSE_INVALID.
 */
export function parseExposedPorts(words: readonly string[]): string[] {
  return words.flatMap(parsePort)
}

function parsePort(word: string): string[] {
  const parts = word.split(':')
  const container = parts.at(-1) as string
  const host = parts.at(-2) ?? ''
  const { range, protocol } = splitProtocol(container)
  checkAddress(parts.slice(0, -2).join(':'))
  const [first, last] = parseRange(range) ?? fail(`invalid containerPort: ${range}`)
  if (host !== '') {
    const [hostFirst, hostLast] = parseRange(host) ?? fail(`invalid hostPort: ${host}`)
    if (last !== first && last - first !== hostLast - hostFirst) {
      fail(`invalid ranges specified for container and host Ports: ${range} and ${host}`)
    }
  }
  return Array.from({ length: last - first + 1 }, (_, index) => `${first + index}/${protocol}`)
}

function splitProtocol(text: string): { range: string; protocol: string } {
  const slash = text.indexOf('/')
  const range = slash < 0 ? text : text.slice(0, slash)
  const protocol = slash < 0 ? '' : text.slice(slash + 1).toLowerCase()
  if (range === '') fail(`no port specified: ${text}<empty>`)
  if (!['', 'tcp', 'udp', 'sctp'].includes(protocol)) fail(`invalid proto: ${protocol}`)
  return { range, protocol: protocol === '' ? 'tcp' : protocol }
}

function checkAddress(address: string): void {
  if (address === '') return
  const bare = address.replace(/^\[(.*)\]$/, '$1')
  // Node takes a zone, Go's net.ParseIP does not.
  if (isIP(bare) === 0 || bare.includes('%')) fail(`invalid IP address: ${address}`)
}

function parseRange(text: string): [number, number] | undefined {
  const match = /^(\d+)(?:-(\d+))?$/.exec(text)
  if (!match) return undefined
  const first = Number(match[1])
  const last = Number(match[2] ?? match[1])
  return first <= last && last <= 65535 ? [first, last] : undefined
}

function fail(message: string): never {
  throw new TbuildError('EXPOSE_INVALID', message, { hint: 'write a port, a range or port/protocol, such as 80, 8000-8010 or 53/udp' })
}
