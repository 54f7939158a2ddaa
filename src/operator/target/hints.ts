/** Who runs the pods, and so what helps when one does not answer. */
export type RunBy =
  /** This operator: an AgentRuntime without `adopt`. */
  'operator' | 'others'

type Hint = Readonly<Record<RunBy, string>>

const same = (text: string): Hint => ({ operator: text, others: text })

/** As a runtime on its way out does, and one that expects TLS. */
const CUT: Hint = {
  operator: 'cut the connection: it is on its way out, or began anew',
  others: 'cut the connection; one that serves TLS needs spec.adopt.caSecretRef',
}

const RENEWED = 'the kubelet brings the one that the operator wrote within 90 s'

/** What undici and Node call failures, in words; the rest is told by its code. */
const FAILURES: Readonly<Record<string, Hint>> = {
  ECONNREFUSED: {
    operator: 'refuses connections: it has not begun to listen, or has ended; its log says more',
    others: 'refuses connections: check that it runs, its --management-host, and spec.adopt.port',
  },
  ECONNRESET: CUT,
  UND_ERR_SOCKET: CUT,
  UND_ERR_CONNECT_TIMEOUT: {
    operator: 'takes no connection within 1 s: check its node, and the NetworkPolicies of its namespace',
    others: 'takes no connection within 1 s: check spec.adopt.port and the NetworkPolicies',
  },
  UND_ERR_INVALID_ARG: {
    operator:
      'cannot be called: its token holds characters that HTTP forbids; delete its Secret "…-runtime-management"',
    others: 'cannot be called: the token of spec.adopt.tokenSecretRef holds characters that HTTP forbids',
  },
  HTTPParserError: {
    operator: 'does not speak HTTP: check spec.image',
    others: 'does not speak HTTP: check spec.adopt.port',
  },
  EHOSTUNREACH: same('is not reachable: no route to the host'),
  ENETUNREACH: same('is not reachable: no route to the network'),
  ENOTFOUND: same('has an address that is not known'),
  ERR_SSL_WRONG_VERSION_NUMBER: {
    operator: 'does not speak TLS: check spec.image',
    others: 'does not speak TLS: start it with --management-cert, or take out spec.adopt.caSecretRef',
  },
  ERR_TLS_CERT_ALTNAME_INVALID: {
    operator: `has a certificate for another name: another pod answers there, or ${RENEWED}`,
    others: 'has a certificate for another name: check spec.adopt.serverName',
  },
  CERT_NOT_YET_VALID: same(
    'has a certificate that is not valid yet: compare the clocks of its node and of the operator',
  ),
}

/** Node's and OpenSSL's names for a certificate that does not verify. */
const UNTRUSTED = /^(CERT_|UNABLE_TO_|SELF_SIGNED|DEPTH_ZERO|INVALID_CA)/

/** @param notAfter when the certificate that it told of last expires, if it told */
export function hintOn(code: string, runBy: RunBy, notAfter: string | undefined): string {
  if (code === 'CERT_HAS_EXPIRED') return expired(runBy, notAfter)
  const known = Object.hasOwn(FAILURES, code) ? FAILURES[code]?.[runBy] : undefined
  if (known !== undefined) return known
  if (!UNTRUSTED.test(code)) return `did not answer (${code})`
  const help = runBy === 'operator' ? RENEWED : 'check spec.adopt.caSecretRef'
  return `has a certificate that is not trusted (${code}): ${help}`
}

function expired(runBy: RunBy, notAfter: string | undefined): string {
  const when = notAfter === undefined ? '' : ` on ${notAfter}`
  const help = runBy === 'operator' ? RENEWED : 'renew the file of its --management-cert'
  return `has a certificate that has expired${when}: ${help}; if it has not, compare the clocks`
}

export const UNAUTHORIZED: Hint = {
  operator: 'the kubelet brings the one that the operator wrote within 90 s',
  others: 'set the key that spec.adopt.tokenSecretRef names to the token the runtime was started with',
}

export const NOT_FOUND: Hint = { operator: 'check spec.image', others: 'check spec.adopt.port' }
