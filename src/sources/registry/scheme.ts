import { errorCode } from '../../base/errors.ts'
import { readCapped } from '../../base/read-capped.ts'
import { discard } from '../../http/body.ts'
import { SMALL_BODY } from '../../http/error-detail.ts'
import type { HttpResponse, Transport } from '../../http/transport.ts'
import type { Endpoint } from './registries-conf.ts'

/** What a server of the other scheme may do to a request, or a proxy that opens no tunnel; after anything else the other would not be answered either. */
const OTHER_SCHEME = /^(ECONNREFUSED|ECONNRESET|EPIPE|EPROTO|EPROXY|HPE_.*|ERR_SSL_.*)$/

/**
 * With or without TLS: for registries that may be either, as docker finds it out. The scheme that is likelier first; where neither is answered it stays,
 * so that its error is the one that is told.
 */
export async function findScheme(endpoint: Endpoint, transport: Transport, signal?: AbortSignal): Promise<URL> {
  const schemes = endpoint.security === 'loopback' ? ['http', 'https'] : ['https', 'http']
  const urls = schemes.map((scheme) => new URL(`${scheme}://${endpoint.host}`))
  for (const url of urls) {
    try {
      const response = await transport.request({ method: 'GET', url: new URL('/v2/', url), unverified: true, signal })
      // It has said that it has TLS, whatever is wrong with ours.
      if (await wantsTls(response)) return new URL(`https://${endpoint.host}`)
      return url
    } catch (error) {
      signal?.throwIfAborted()
      if (!OTHER_SCHEME.test(errorCode(error) ?? '')) break
    }
  }
  return urls[0] as URL
}

/** What Go's server, nginx, Apache and Tomcat say to plain HTTP on a port with TLS; some lead to TLS on the same port. */
async function wantsTls(response: HttpResponse): Promise<boolean> {
  const { url, status } = response
  if (url.protocol === 'http:' && status === 400) {
    const body = (await readCapped(response.body, SMALL_BODY))?.toString('latin1') ?? ''
    return /HTTPS (server|port)|SSL-enabled|requires TLS/.test(body)
  }
  discard(response)
  return url.protocol === 'http:' && response.header('location')?.startsWith(`https://${url.host}/`) === true
}
