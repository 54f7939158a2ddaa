import { type Clock, linkedTo } from '../../clock.ts'
import type { Log } from '../../log.ts'
import type { LeaderRecorder } from '../metrics/leader.ts'
import type { ApiError } from '../types.ts'
import { acquireLease } from './acquire.ts'
import { type LeaseClient, type LeaseName, leaseCalls } from './calls.ts'
import type { LeaseLost } from './lost.ts'
import { Tenure } from './tenure.ts'

export type LeaseTimings = {
  /** How long others wait after the last renewal that they saw. */
  readonly durationMs: number
  /** How long the holder goes on after its last renewal; less than `durationMs` by more than clocks drift in that time. */
  readonly renewDeadlineMs: number
  /** Between two renewals; between two looks at another's lease at most. */
  readonly retryMs: number
}

/** client-go's. */
export const LEASE_TIMINGS: LeaseTimings = { durationMs: 15_000, renewDeadlineMs: 10_000, retryMs: 2_000 }

export type ElectionOptions = {
  readonly client: LeaseClient
  readonly lease: LeaseName
  /** Unique to this process: a second one with the same identity would share the lease. */
  readonly identity: string
  readonly clock: Clock
  readonly log: Log
  readonly metrics: LeaderRecorder
  readonly timings?: LeaseTimings
  /** At least 0, less than 1. */
  readonly random?: () => number
}

/** What everything that only a leader may do hangs on. */
export type Leadership = {
  /** Greater than that of every leader before: the resourceVersion of the write that took the lease. */
  readonly fence: number
  /** Aborts with {@link LeaseLost} when the lease is lost or may be, else with the reason it is told to stop for. */
  readonly signal: AbortSignal
  /**
   * To be asked right before every write: false as soon as others may lead, also in a process that was stopped in
   * between and whose timers have not fired yet.
   */
  isHeld(): boolean
}

export type ElectionOutcome =
  /** Told to stop, or done; the lease was given back if it was held. */
  | { readonly type: 'ended' }
  /** Another process leads or may lead: this one must end. */
  | { readonly type: 'lost'; readonly error: LeaseLost }
  /** Leases may not be used here: 403, or 404 of a missing namespace. */
  | { readonly type: 'refused'; readonly error: ApiError }

/**
 * Waits for the lease, leads, and gives the lease back when `lead` has ended; while it ends after an abort of the signal,
 * renewing goes on. When the lease is lost, resolves without waiting for `lead`. Rejects with what `lead` throws.
 * At most one process leads at a time as long as no clock runs faster than another by `durationMs / renewDeadlineMs`.
 */
export async function runElected(
  options: ElectionOptions,
  lead: (leadership: Leadership) => Promise<void>,
  signal: AbortSignal,
): Promise<ElectionOutcome> {
  const { client, lease, clock, log, random = Math.random, timings = LEASE_TIMINGS } = options
  const { durationMs, renewDeadlineMs, retryMs } = timings
  const holder = { identity: options.identity, durationMs }
  // Half of the deadline, as in client-go: one request that hangs leaves time for another.
  const calls = leaseCalls({ client, lease, clock, timeoutMs: renewDeadlineMs / 2 })
  const acquisition = await acquireLease({ calls, holder, retryMs, clock, random, log }, signal)
  if (acquisition.type === 'stopped') return { type: 'ended' }
  if (acquisition.type === 'refused') return acquisition

  const lost = Promise.withResolvers<LeaseLost>()
  const linked = linkedTo(signal)
  const onLost = (error: LeaseLost) => {
    linked.abort(error)
    lost.resolve(error)
  }
  const tenure = new Tenure(
    { calls, holder, renewDeadlineMs, retryMs, clock, log, metrics: options.metrics, onLost },
    acquisition,
  )
  log.info('this process leads', { lease: `${lease.namespace}/${lease.name}`, fence: tenure.fence })
  const renewing = tenure.renew()
  const leading = lead({ fence: tenure.fence, signal: linked.signal, isHeld: () => tenure.isHeld() })
  try {
    const error = await Promise.race([leading.then(() => undefined), lost.promise])
    return error === undefined ? { type: 'ended' } : { type: 'lost', error }
  } finally {
    await tenure.release()
    await renewing
    linked.release()
  }
}
