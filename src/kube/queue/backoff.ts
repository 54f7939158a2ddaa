/** How long to wait before the next try, in milliseconds, after `failures` (0 or more) failures before this one. */
export type Backoff = (failures: number) => number

export type BackoffOptions = {
  readonly baseMs?: number
  readonly maxMs?: number
  /** Up to how much of the time is added at random: 0.2 for up to a fifth. */
  readonly jitter?: number
  /** At least 0, less than 1. */
  readonly random?: () => number
}

/** Doubles from 5 ms up to 1,000 s without jitter, the numbers of client-go's default per-item rate limiter. */
export function exponentialBackoff(options: BackoffOptions = {}): Backoff {
  const { baseMs = 5, maxMs = 1_000_000, jitter = 0, random = Math.random } = options
  return (failures) => Math.min(baseMs * 2 ** failures, maxMs) * (1 + jitter * random())
}
