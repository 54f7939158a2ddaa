import type { ApiError } from '../types.ts'

/** Attempts of one request when connections fail: together they take about 1.5 s, which a restart of a proxy takes. */
const MAX_CONNECTION_ATTEMPTS = 5
const FIRST_DELAY_MS = 100
/** A proxy may say 0: then it is asked again ten times a second, not as fast as it answers. */
const MIN_RETRY_AFTER_MS = 100

export type FailedAttempt = {
  readonly error: ApiError
  /** Whether doing it twice is the same as doing it once. */
  readonly repeatable: boolean
  /** 1 for the first. */
  readonly attempt: number
  /** Until the request's deadline. */
  readonly leftMs: number
}

/**
 * How long to wait before the same request is sent again; undefined when its error is final.
 * A request that is not repeatable is sent again only when the server cannot have acted on it: when no connection was
 * made, or when it answered 429, which the API server does before it handles a request.
 * @param random from 0 to below 1
 */
export function planRetry({ error, repeatable, attempt, leftMs }: FailedAttempt, random: number): number | undefined {
  const delayMs = delayOf(error, repeatable, attempt, random)
  return delayMs === undefined || delayMs >= leftMs ? undefined : delayMs
}

function delayOf(error: ApiError, repeatable: boolean, attempt: number, random: number): number | undefined {
  switch (error.code) {
    case 429:
      return stretched(error.retryAfterMs, random)
    case 503:
      return repeatable ? stretched(error.retryAfterMs, random) : undefined
    case 0: {
      const isSafe = error.reason === 'Unreachable' || (error.reason === 'ConnectionLost' && repeatable)
      if (!isSafe || attempt >= MAX_CONNECTION_ATTEMPTS) return undefined
      return FIRST_DELAY_MS * 2 ** (attempt - 1) * (0.5 + random / 2)
    }
    default:
      return undefined
  }
}

/** Never before the server's time, and not all clients at once after it. */
const stretched = (retryAfterMs: number | undefined, random: number): number | undefined =>
  retryAfterMs === undefined ? undefined : Math.max(retryAfterMs, MIN_RETRY_AFTER_MS) * (1 + random / 4)
