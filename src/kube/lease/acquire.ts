import { type Clock, sleep } from '../../clock.ts'
import type { Log } from '../../log.ts'
import { type ApiError, isApiError } from '../types.ts'
import type { LeaseCalls } from './calls.ts'
import { type Holder, heldSpec, isRenewed, type LeaseRecord } from './record.ts'

export type Acquired = {
  readonly type: 'acquired'
  readonly record: LeaseRecord
  /** Monotonic time before the write: what is counted from here ends no later than what others count. */
  readonly writtenAt: number
}

export type Acquisition =
  | Acquired
  /** The signal aborted first. */
  | { readonly type: 'stopped' }
  /** 403, or 404 of a missing namespace: nothing here can mend it. */
  | { readonly type: 'refused'; readonly error: ApiError }

export type Candidate = {
  readonly calls: LeaseCalls
  readonly holder: Holder
  readonly retryMs: number
  readonly clock: Clock
  readonly random: () => number
  readonly log: Log
}

/** A record, and when this process saw for the first time that its holder had written it. */
type Observed = { readonly record: LeaseRecord; readonly at: number }

/**
 * Waits for the lease and takes it: one that nobody holds at once, another's when no renewal was seen for as long as it
 * says it lasts, counted on this process's own monotonic clock. An API server that does not answer is waited for.
 */
export async function acquireLease(candidate: Candidate, signal: AbortSignal): Promise<Acquisition> {
  const { clock, retryMs, random, log } = candidate
  let observed: Observed | undefined
  while (!signal.aborted) {
    try {
      const step = await tryOnce(candidate, observed, signal)
      if (step.type === 'acquired') return step
      if (step.observed !== undefined && step.observed.record.holder !== observed?.record.holder) {
        log.info('another process leads; waiting', { holder: step.observed.record.holder })
      }
      observed = step.observed
    } catch (error) {
      if (signal.aborted) break
      if (isApiError(error, 403, 404)) return { type: 'refused', error }
      log.warn('the lease cannot be read or written; trying again', { error })
    }
    // Down to half, so that candidates do not meet; client-go's up to 2.2-fold would leave a released lease for longer.
    await sleep(clock, retryMs * (0.5 + random() / 2), signal).catch(() => {})
  }
  return { type: 'stopped' }
}

type Step = Acquired | { readonly type: 'wait'; readonly observed: Observed | undefined }

async function tryOnce(candidate: Candidate, before: Observed | undefined, signal: AbortSignal): Promise<Step> {
  const { calls, holder, clock } = candidate
  const found = await calls.read(signal)
  const observed = found === undefined ? undefined : observe(before, found, clock.monotonic())
  if (observed !== undefined && !isFree(observed, holder, clock.monotonic())) return { type: 'wait', observed }
  const writtenAt = clock.monotonic()
  const spec = heldSpec(holder, found, clock.now())
  const write = await (found === undefined
    ? calls.create(spec, signal)
    : calls.write(spec, found.resourceVersion, signal))
  if (write.type === 'written') return { type: 'acquired', record: write.record, writtenAt }
  return { type: 'wait', observed }
}

const observe = (before: Observed | undefined, record: LeaseRecord, now: number): Observed => ({
  record,
  at: before === undefined || isRenewed(before.record, record) ? now : before.at,
})

/** What it holds itself is of a write whose answer was lost. */
function isFree({ record, at }: Observed, { identity, durationMs }: Holder, now: number): boolean {
  if (record.holder === '' || record.holder === identity) return true
  return now - at >= (record.durationMs ?? durationMs)
}
