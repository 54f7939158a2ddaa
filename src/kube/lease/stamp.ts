import { type Clock, sleep } from '../../clock.ts'
import type { Log } from '../../log.ts'
import { type ApiError, isApiError } from '../types.ts'
import { type LeaseClient, type LeaseName, leaseCalls } from './calls.ts'
import { LEASE_TIMINGS } from './elect.ts'
import { fenceOf, heldSpec } from './record.ts'

export type StampOptions = {
  readonly client: LeaseClient
  readonly lease: LeaseName
  readonly identity: string
  readonly clock: Clock
  readonly log: Log
}

export type Stamp =
  /** The fence is greater than that of everybody before. */
  | { readonly type: 'stamped'; readonly fence: number }
  /** Leases may not be used here: 403, or 404 of a missing namespace. */
  | { readonly type: 'refused'; readonly error: ApiError }
  /** The signal aborted first. */
  | { readonly type: 'stopped' }

/**
 * Takes a fence without an election: writes this process into the lease once, whoever holds it. A leader that renews the
 * lease sees that it was taken. An API server that does not answer is waited for.
 */
export async function stampLease(options: StampOptions, signal: AbortSignal): Promise<Stamp> {
  const { identity, clock, log } = options
  const calls = leaseCalls({ ...options, timeoutMs: LEASE_TIMINGS.renewDeadlineMs / 2 })
  const holder = { identity, durationMs: LEASE_TIMINGS.durationMs }
  while (!signal.aborted) {
    try {
      const found = await calls.read(signal)
      const spec = heldSpec(holder, found, clock.now())
      const write = await (found === undefined ? calls.create(spec, signal) : calls.write(spec, undefined, signal))
      if (write.type === 'written') return { type: 'stamped', fence: fenceOf(write.record.resourceVersion) }
    } catch (error) {
      if (signal.aborted) break
      if (isApiError(error, 403, 404)) return { type: 'refused', error }
      log.warn('the lease cannot be read or written; trying again', { error })
      await sleep(clock, LEASE_TIMINGS.retryMs, signal).catch(() => {})
    }
  }
  return { type: 'stopped' }
}
