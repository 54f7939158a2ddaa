import { ApiError } from '../types.ts'

const MAX_MESSAGE_CHARS = 1024

/** Nothing was sent: no connection could be made. */
const UNREACHABLE: ReadonlySet<string> = new Set([
  'ECONNREFUSED',
  'ENOTFOUND',
  'EAI_AGAIN',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'EADDRNOTAVAIL',
  'UND_ERR_CONNECT_TIMEOUT',
])

/** Node's and OpenSSL's names for a certificate that does not verify. */
const UNTRUSTED = /^(ERR_TLS_CERT|CERT_|UNABLE_TO_|SELF_SIGNED|DEPTH_ZERO|INVALID_CA|ERR_OSSL)/

/**
 * Why no answer came, as an error with code 0: `Unreachable` and `Untrusted` say that nothing was sent,
 * `ConnectionLost` that the server may have acted. Holds nothing of the request.
 */
export function failureOf(error: unknown, host: string): ApiError {
  if (error instanceof ApiError) return error
  const code = codeOf(error)
  if (UNREACHABLE.has(code)) {
    return unanswered('Unreachable', `the API server ${host} cannot be reached (${code})`)
  }
  if (UNTRUSTED.test(code)) {
    return unanswered(
      'Untrusted',
      `the certificate of the API server ${host} is not trusted (${code}); check the cluster's certificate authority`,
    )
  }
  return unanswered('ConnectionLost', `the connection to the API server ${host} was lost (${code})`)
}

export const unanswered = (reason: string, message: string): ApiError => new ApiError({ code: 0, reason, message })

function codeOf(error: unknown): string {
  if (!(error instanceof Error)) return 'unknown error'
  return 'code' in error && typeof error.code === 'string' ? error.code : error.name
}

export type Refusal = { readonly code: number; readonly retryAfter: string | undefined; readonly body: string }

/** What a status other than 2xx says; `body` is a Status object, unless something else than an API server answered. */
export function refusalOf({ code, retryAfter, body }: Refusal): ApiError {
  const status = statusOf(body)
  const retryAfterMs = secondsOf(retryAfter) ?? status.retryAfterMs
  return new ApiError({
    code,
    reason: status.reason ?? 'Unknown',
    message: (status.message ?? `the API server answered HTTP ${code}`).slice(0, MAX_MESSAGE_CHARS),
    ...(retryAfterMs === undefined ? {} : { retryAfterMs }),
  })
}

export type StatusDetails = { readonly code?: number; reason?: string; message?: string; retryAfterMs?: number }

/** The parts of a `Status` object that are there. */
export function parseStatus(value: unknown): StatusDetails {
  if (!isRecord(value) || value.kind !== 'Status') return {}
  const { code, reason, message, details } = value
  const seconds = isRecord(details) ? details.retryAfterSeconds : undefined
  return {
    ...(typeof code === 'number' ? { code } : {}),
    ...(typeof reason === 'string' && reason !== '' ? { reason } : {}),
    ...(typeof message === 'string' && message !== '' ? { message } : {}),
    ...(typeof seconds === 'number' && seconds > 0 ? { retryAfterMs: seconds * 1000 } : {}),
  }
}

function statusOf(body: string): StatusDetails {
  try {
    return parseStatus(JSON.parse(body))
  } catch {
    // A load balancer's page, or a body that was cut.
    return {}
  }
}

/** Only the form in seconds: the API server sends no other. */
const secondsOf = (header: string | undefined): number | undefined =>
  header !== undefined && /^\d{1,6}$/.test(header) ? Number(header) * 1000 : undefined

export const isRecord = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value)
