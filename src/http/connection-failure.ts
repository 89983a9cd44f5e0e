import { errorCode } from '../base/errors.ts'

/** Why two ends do not agree on a connection, and what to do about it. */
export interface ConnectionFailure {
  readonly reason: string
  readonly hint: string
}

/** OpenSSL's words for an answer that is no TLS. */
const NO_TLS = /wrong version number|packet length too long|record layer failure|unknown protocol|http request/i
/** Node's for a server that hangs up at the first message of TLS. */
const HUNG_UP = /before secure TLS connection was established/

const UNKNOWN_AUTHORITY = [
  'DEPTH_ZERO_SELF_SIGNED_CERT',
  'SELF_SIGNED_CERT_IN_CHAIN',
  'UNABLE_TO_GET_ISSUER_CERT',
  'UNABLE_TO_GET_ISSUER_CERT_LOCALLY',
  'UNABLE_TO_VERIFY_LEAF_SIGNATURE',
  'CERT_UNTRUSTED',
]

/** Of an https address; undefined when TLS is not the trouble. `isUrl`: no registry, but what ADD and contexts name. */
export function tlsFailure(host: string, error: unknown, isUrl: boolean): ConnectionFailure | undefined {
  const code = errorCode(error) ?? ''
  const message = (error as Error).message ?? ''
  const words = `${(error as { reason?: unknown }).reason ?? ''} ${message}`
  const insecure = 'say so: `insecure = true` for it in registries.conf, or `registry.insecure=true` of an output or a cache'
  if (/^(EPROTO|ERR_SSL_)/.test(code) && NO_TLS.test(words.replaceAll('_', ' '))) {
    return {
      reason: 'it answers in plain HTTP, without TLS',
      hint: isUrl ? 'write http:// in place of https://' : `if it has no TLS, ${insecure}`,
    }
  }
  if (HUNG_UP.test(message)) {
    return {
      reason: 'it ended the connection before TLS began',
      hint: isUrl ? 'check the port, or write http://' : `check the port; if it has no TLS, ${insecure}`,
    }
  }
  if (UNKNOWN_AUTHORITY.includes(code)) {
    const trust = `put the authority of its certificate into /etc/docker/certs.d/${host}/ca.crt`
    return {
      reason: `its certificate is of an unknown authority (${message})`,
      hint: isUrl ? `${trust}, or name it with SSL_CERT_FILE` : `${trust}, or, not to verify it, ${insecure}`,
    }
  }
  if (code === 'CERT_HAS_EXPIRED' || code === 'CERT_NOT_YET_VALID') {
    return {
      reason: `its certificate ${code === 'CERT_HAS_EXPIRED' ? 'has run out' : 'is not valid yet'}`,
      hint: 'check the clock of this machine, or ask the owner for a new certificate',
    }
  }
  if (code === 'ERR_TLS_CERT_ALTNAME_INVALID') {
    return { reason: `its certificate is for another name (${message})`, hint: 'use a name that the certificate has' }
  }
  if (/CERTIFICATE_REQUIRED|ALERT_BAD_CERTIFICATE|ALERT_HANDSHAKE_FAILURE|ALERT_UNKNOWN_CA/.test(code)) {
    return {
      reason: `it refused the connection (${message})`,
      hint: `if it wants a client certificate, put it into /etc/docker/certs.d/${host}/ as client.cert and client.key`,
    }
  }
  return undefined
}

/** Of an http address. */
export function httpFailure(error: unknown): ConnectionFailure | undefined {
  // Parser errors of Node: the bytes are no HTTP.
  if (!/^HPE_/.test(errorCode(error) ?? '')) return undefined
  return { reason: 'its answer is no HTTP', hint: 'check the port: it may speak TLS, or be no web server' }
}
