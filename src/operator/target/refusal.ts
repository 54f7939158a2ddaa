import { z } from 'zod'
import { PROTOCOL, ProblemError, REASONS, type Reason } from '../../api/index.ts'

/** Longest text that is taken over from a pod, in characters. */
const MAX_MESSAGE = 1024

/** The pod gave no answer, or none that the protocol knows. Never holds anything of what was sent or answered. */
export const unreachable = (address: string, what: string): ProblemError =>
  new ProblemError({ reason: 'RuntimeUnreachable', message: `the runtime at ${address} ${what}` })

/** The pod took too long. */
export const tooSlow = (address: string, what: string): ProblemError =>
  new ProblemError(unreachable(address, what).problem, { cause: new DOMException(what, 'TimeoutError') })

/** As a runtime on its way out does, and one that expects TLS. */
const CUT = 'cut the connection; one that serves TLS needs spec.adopt.caSecretRef'

/** What undici and Node call failures, in words; the rest is told by its code. */
const FAILURES: Readonly<Record<string, string>> = {
  ECONNREFUSED: 'refuses connections: check that it runs, its --management-host, and spec.adopt.port',
  ECONNRESET: CUT,
  UND_ERR_SOCKET: CUT,
  UND_ERR_CONNECT_TIMEOUT: 'takes no connection within 1 s: check spec.adopt.port and the NetworkPolicies',
  UND_ERR_INVALID_ARG: 'cannot be called: the token of spec.adopt.tokenSecretRef holds characters that HTTP forbids',
  HTTPParserError: 'does not speak HTTP: check spec.adopt.port',
  EHOSTUNREACH: 'is not reachable: no route to the host',
  ENETUNREACH: 'is not reachable: no route to the network',
  ENOTFOUND: 'has an address that is not known',
  ERR_SSL_WRONG_VERSION_NUMBER:
    'does not speak TLS: start it with --management-cert, or take out spec.adopt.caSecretRef',
  ERR_TLS_CERT_ALTNAME_INVALID: 'has a certificate for another name: check spec.adopt.serverName',
}

/** Node's and OpenSSL's names for a certificate that does not verify. */
const UNTRUSTED = /^(CERT_|UNABLE_TO_|SELF_SIGNED|DEPTH_ZERO|INVALID_CA)/

/** Why a request failed before there was a whole answer. */
export function connectionFailure(error: unknown, address: string): ProblemError {
  if (error instanceof ProblemError) return error
  const code = codeOf(error)
  const known = Object.hasOwn(FAILURES, code) ? FAILURES[code] : undefined
  if (known !== undefined && code === 'UND_ERR_CONNECT_TIMEOUT') return tooSlow(address, known)
  if (known !== undefined) return unreachable(address, known)
  if (UNTRUSTED.test(code)) {
    return unreachable(address, `has a certificate that is not trusted (${code}): check spec.adopt.caSecretRef`)
  }
  return unreachable(address, `did not answer (${code})`)
}

/** An error's message may hold what was sent, its code cannot. */
function codeOf(error: unknown): string {
  if (!(error instanceof Error)) return 'unknown error'
  // Its codes are many and of the parser's own.
  if (error.name === 'HTTPParserError') return error.name
  return 'code' in error && typeof error.code === 'string' ? error.code : error.name
}

/** How a runtime says why it refused a call: the body of its answer is a problem. */
const refusalBody = z.looseObject({
  reason: z.string(),
  message: z.string(),
  path: z.string().max(MAX_MESSAGE).optional(),
})
/** Statuses that speak of the call, and not of something on the way. 404 is that of another version's path. */
const REFUSALS: ReadonlySet<number> = new Set([404, 409, 412, 413, 422])

/** Why an answer is none that was asked for. */
export type Refusal = {
  readonly status: number
  readonly body: unknown
  readonly address: string
  readonly token: string
}

/** What a status other than 200 says. */
export function refusalOf({ status, body, address, token }: Refusal): ProblemError {
  if (status === 401 || status === 403) {
    const message =
      `the runtime at ${address} refuses the operator's token (HTTP ${status}): ` +
      'set the key that spec.adopt.tokenSecretRef names to the token the runtime was started with'
    return new ProblemError({ reason: 'Unauthorized', message })
  }
  if (status >= 300 && status < 400) return unreachable(address, `answers with a redirect (HTTP ${status})`)
  const told = REFUSALS.has(status) ? refusalBody.safeParse(body) : undefined
  if (told?.success && isReason(told.data.reason)) {
    const { reason, message, path } = told.data
    return new ProblemError({
      reason,
      message: safeText(message, token),
      ...(path !== undefined && { path: safeText(path, token) }),
    })
  }
  return unreachable(address, `answers HTTP ${status}${status === 404 ? ': check spec.adopt.port' : ''}`)
}

const isReason = (text: string): text is Reason => Object.hasOwn(REASONS, text)

/** A pod's text: short, one line, and without the token that a faulty runtime may repeat. */
function safeText(text: string, token: string): string {
  const plain = token === '' ? text : text.replaceAll(token, '[redacted]')
  return plain.replaceAll(/\p{Cc}+/gu, ' ').slice(0, MAX_MESSAGE)
}

const spoken = z.looseObject({ protocol: z.looseObject({ min: z.int(), max: z.int() }) })

/**
 * Checks that there is a version of the protocol that both speak, before anything else of a state is looked at.
 * @throws ProblemError ProtocolMismatch, or RuntimeUnreachable when it names no versions
 */
export function checkProtocol(state: unknown, address: string): void {
  const parsed = spoken.safeParse(state)
  if (!parsed.success) throw unreachable(address, 'answers something else than the management protocol')
  const { min, max } = parsed.data.protocol
  if (min <= PROTOCOL.max && max >= PROTOCOL.min) return
  const message =
    `the runtime at ${address} speaks the management protocol in ${versions(min, max)}, ` +
    `this operator in ${versions(PROTOCOL.min, PROTOCOL.max)}: update the older of the two`
  throw new ProblemError({ reason: 'ProtocolMismatch', message })
}

const versions = (min: number, max: number): string => (min === max ? `version ${min}` : `versions ${min} to ${max}`)
