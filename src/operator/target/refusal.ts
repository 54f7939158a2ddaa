import { z } from 'zod'
import { PROTOCOL, ProblemError, REASONS, type Reason } from '../../api/index.ts'
import { hintOn, NOT_FOUND, type RunBy, UNAUTHORIZED } from './hints.ts'

/** Longest text that is taken over from a pod, in characters. */
const MAX_MESSAGE = 1024

/** The pod gave no answer, or none that the protocol knows. Never holds anything of what was sent or answered. */
export const unreachable = (address: string, what: string): ProblemError =>
  new ProblemError({ reason: 'RuntimeUnreachable', message: `the runtime at ${address} ${what}` })

/** The pod took too long. */
export const tooSlow = (address: string, what: string): ProblemError =>
  new ProblemError(unreachable(address, what).problem, { cause: new DOMException(what, 'TimeoutError') })

/** What of a pod decides how its failures are told. */
export type Told = {
  readonly address: string
  readonly runBy: RunBy
  /** When the certificate that it told of last expires. */
  readonly notAfter: () => string | undefined
}

/** Why a request failed before there was a whole answer. */
export function connectionFailure(error: unknown, { address, runBy, notAfter }: Told): ProblemError {
  if (error instanceof ProblemError) return error
  const code = codeOf(error)
  const hint = hintOn(code, runBy, notAfter())
  return code === 'UND_ERR_CONNECT_TIMEOUT' ? tooSlow(address, hint) : unreachable(address, hint)
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
  readonly runBy: RunBy
  /** What it may repeat of what it was sent. */
  readonly tokens: readonly string[]
}

/** What a status other than 200 says. */
export function refusalOf({ status, body, address, runBy, tokens }: Refusal): ProblemError {
  if (status === 401 || status === 403) {
    const message = `the runtime at ${address} refuses the operator's token (HTTP ${status}): ${UNAUTHORIZED[runBy]}`
    return new ProblemError({ reason: 'Unauthorized', message })
  }
  if (status >= 300 && status < 400) return unreachable(address, `answers with a redirect (HTTP ${status})`)
  const told = REFUSALS.has(status) ? refusalBody.safeParse(body) : undefined
  if (told?.success && isReason(told.data.reason)) {
    const { reason, message, path } = told.data
    return new ProblemError({
      reason,
      message: safeText(message, tokens),
      ...(path !== undefined && { path: safeText(path, tokens) }),
    })
  }
  return unreachable(address, `answers HTTP ${status}${status === 404 ? `: ${NOT_FOUND[runBy]}` : ''}`)
}

const isReason = (text: string): text is Reason => Object.hasOwn(REASONS, text)

/** A pod's text: short, one line, and without the tokens that a faulty runtime may repeat. */
function safeText(text: string, tokens: readonly string[]): string {
  const secrets = tokens.filter((token) => token !== '')
  const plain = secrets.reduce((safe, token) => safe.replaceAll(token, '[redacted]'), text)
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
