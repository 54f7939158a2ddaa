import { APICallError } from '@ai-sdk/provider'

/** Why a model call failed, without key or headers, and whether another attempt may help. */
export type Failure = {
  readonly message: string
  readonly retryable: boolean
  /** How long the provider asks to wait. */
  readonly retryAfterMs?: number
}

/** The model sent nothing for longer than its calls may be silent. */
export class ModelSilence extends Error {
  override readonly name = 'ModelSilence'
}

export type RetryPlan =
  | { readonly type: 'retry'; readonly afterMs: number }
  | { readonly type: 'fail'; readonly message: string }

export type RetryLimits = {
  /** Most attempts of one model call, the first included. */
  readonly attempts: number
  /** First wait in milliseconds; doubled for each attempt after, less up to half of it by chance. */
  readonly backoffMs: number
}

/** Longest text of a provider that is passed on, in characters. */
const MAX_MESSAGE = 500

/** 408, 409 and 429 as in OpenAI's and Anthropic's own clients; 5xx is the provider's trouble. */
const isRetryableStatus = (status: number): boolean =>
  status === 408 || status === 409 || status === 429 || status >= 500

/**
 * What an error of a provider means.
 * @param where `stream`: the answer had begun, so that whatever broke it may go well the next time
 * @param now milliseconds since 1970, for a Retry-After that is a date
 */
export function failureOf(error: unknown, where: 'request' | 'stream', now: number): Failure {
  if (!APICallError.isInstance(error)) {
    return {
      message: cut(messageOf(error)),
      retryable: where === 'stream' || error instanceof ModelSilence || isNetworkError(error),
    }
  }
  const { statusCode: status, responseHeaders } = error
  if (status === undefined || status < 300) return { message: cut(error.message), retryable: true }
  const wait = retryAfter(responseHeaders ?? {}, now)
  return {
    message: `HTTP ${status}: ${refusalText(status, error.message)}`,
    retryable: isRetryableStatus(status),
    ...(wait === undefined ? {} : { retryAfterMs: wait }),
  }
}

function refusalText(status: number, message: string): string {
  if (status < 400) return 'redirects are not followed: name the final address as baseURL'
  return status === 401 ? 'the provider refused the API key' : cut(message)
}

const cut = (text: string): string => (text.length > MAX_MESSAGE ? `${text.slice(0, MAX_MESSAGE)}…` : text)

function messageOf(error: unknown): string {
  if (typeof error === 'string') return error
  if (typeof error === 'object' && error !== null && 'message' in error && typeof error.message === 'string') {
    return error.message
  }
  return 'the provider reported an error without a message'
}

const NETWORK_CODE = /^(UND_ERR_|ECONN|EPIPE|ETIMEDOUT|EAI_AGAIN|ENOTFOUND|ENETUNREACH|EHOSTUNREACH)/

function isNetworkError(error: unknown): boolean {
  for (let at = error, depth = 0; typeof at === 'object' && at !== null && depth < 4; depth++) {
    if ('code' in at && typeof at.code === 'string' && NETWORK_CODE.test(at.code)) return true
    at = 'cause' in at ? at.cause : undefined
  }
  return false
}

/**
 * Milliseconds to wait from `retry-after-ms`, or `retry-after` in seconds or as a date (RFC 9110, 10.2.3).
 * A header that is neither is left out of account.
 */
export function retryAfter(headers: Readonly<Record<string, string>>, now: number): number | undefined {
  const exact = duration(headers['retry-after-ms'])
  if (exact !== undefined) return exact
  const header = headers['retry-after']
  const seconds = duration(header)
  if (seconds !== undefined) return seconds * 1000
  const date = header === undefined ? Number.NaN : Date.parse(header)
  return Number.isNaN(date) ? undefined : Math.max(0, date - now)
}

function duration(text: string | undefined): number | undefined {
  return text !== undefined && /^\s*\d+(\.\d+)?\s*$/.test(text) ? Number(text) : undefined
}

/**
 * Whether and when to try again.
 * @param attempt the attempt that failed, from 1
 * @param remainingMs what is left of the run's time: a wait that would outlast it is not begun
 * @param random a number in [0, 1)
 */
export function planRetry(
  failure: Failure,
  attempt: number,
  limits: RetryLimits,
  { remainingMs, random }: { remainingMs: number; random: number },
): RetryPlan {
  if (!failure.retryable) return { type: 'fail', message: failure.message }
  if (attempt >= limits.attempts) return { type: 'fail', message: `${failure.message} (after ${attempt} attempts)` }
  const backoff = limits.backoffMs * 2 ** (attempt - 1)
  const afterMs = failure.retryAfterMs ?? Math.round(backoff * (1 - random / 2))
  if (afterMs < remainingMs) return { type: 'retry', afterMs }
  return { type: 'fail', message: `${failure.message} (the next attempt in ${afterMs} ms is past the run's time)` }
}
