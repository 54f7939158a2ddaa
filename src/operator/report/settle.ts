import { isDeepStrictEqual } from 'node:util'
import type { Condition, Failure } from '../../api/index.ts'
import { withoutCounts } from './words.ts'

/** What to do about a status. `later`: nothing yet; look again after that time. */
export type Report<S> =
  | { readonly type: 'write'; readonly status: S }
  | { readonly type: 'same' }
  | { readonly type: 'later'; readonly afterMs: number }

/** How sure a status is: one that `settles` is expected to be another within a second, one that is `unknown` is being asked for. */
export type Certainty = 'known' | 'settles' | 'unknown'

export type Times = {
  /** Milliseconds since what is desired last changed, or since the object was first seen. */
  readonly unsettledMs: number
  /** Milliseconds since this process last wrote the object's status; undefined: it has not. */
  readonly sinceWriteMs: number | undefined
}

/** A sync that ends sooner is not written: one write a change. */
export const SETTLE_MS = 1000
/** At most one write in this time for numbers of pods alone. */
export const COUNTS_MS = 30_000

/** Whether a status is written, now or later. */
export function settle<S extends object>(
  previous: S | undefined,
  { status, certainty, times }: { status: S; certainty: Certainty; times: Times },
  newsOf: (status: S) => unknown,
): Report<S> {
  if (previous !== undefined && isDeepStrictEqual(previous, status)) return { type: 'same' }
  if (certainty === 'unknown') return { type: 'later', afterMs: SETTLE_MS }
  if (certainty === 'settles' && times.unsettledMs < SETTLE_MS)
    return { type: 'later', afterMs: SETTLE_MS - times.unsettledMs }
  // A process that has not written yet waits as if it had when it first saw the object: a restart writes nothing.
  const quietMs = times.sinceWriteMs ?? times.unsettledMs
  const isCountsOnly = previous !== undefined && isDeepStrictEqual(newsOf(previous), newsOf(status))
  if (isCountsOnly && quietMs < COUNTS_MS) return { type: 'later', afterMs: COUNTS_MS - quietMs }
  return { type: 'write', status }
}

/** What is news in the conditions: not the numbers of pods in their messages. */
export const newsOfConditions = (conditions: readonly Condition[] = []): unknown =>
  conditions.map((condition) => ({ ...condition, message: withoutCounts(condition.message) }))

/** What is news in the failures: which there are, not how many pods tell each. */
export const newsOfFailures = (failures: readonly Failure[] = []): string[] => [
  ...new Set(failures.map(({ pod: _, ...failure }) => JSON.stringify(failure))),
]
