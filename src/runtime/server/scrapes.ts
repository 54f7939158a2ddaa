import { type Clock, sleep } from '../../clock.ts'

/**
 * Who scrapes comes at least this often, in milliseconds: Prometheus once a minute unless it is told otherwise. Who has
 * not come for longer is not waited for.
 */
const REGULAR_MS = 60_000

/**
 * `seen`: an answer that was asked for since has gone out. `unwatched`: nobody scrapes, so nobody was waited for.
 * `missed`: whoever scrapes did not come in time.
 */
export type FinalScrape = 'seen' | 'unwatched' | 'missed'

/** When the metrics of a process are asked for, so that its end can be put off until its last counts were seen. */
export type Scrapes = {
  /** To be called when the metrics are asked for, before they are read; the function it returns, when the answer is out. */
  begun(): () => void
  /**
   * Waits for an answer that is asked for from now on, at most `waitMs` milliseconds and not beyond the signal's abort.
   * What was counted before the call is in that answer.
   */
  next(waitMs: number, signal: AbortSignal): Promise<FinalScrape>
}

export function createScrapes(clock: Clock): Scrapes {
  let lastAt = Number.NEGATIVE_INFINITY
  const waiting = new Set<() => void>()
  return {
    begun: () => {
      lastAt = clock.monotonic()
      const answered = [...waiting]
      return () => {
        for (const seen of answered) seen()
      }
    },
    next: async (waitMs, signal) => {
      if (clock.monotonic() - lastAt > REGULAR_MS) return 'unwatched'
      const over = new AbortController()
      const { promise, resolve } = Promise.withResolvers<FinalScrape>()
      const seen = () => resolve('seen')
      waiting.add(seen)
      const late = sleep(clock, waitMs, AbortSignal.any([signal, over.signal])).then(
        () => 'missed' as const,
        () => 'missed' as const,
      )
      try {
        return await Promise.race([promise, late])
      } finally {
        waiting.delete(seen)
        over.abort()
      }
    },
  }
}
