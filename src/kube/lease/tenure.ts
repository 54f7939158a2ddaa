import { type Clock, sleep, type Timer } from '../../clock.ts'
import type { Log } from '../../log.ts'
import type { LeaderRecorder } from '../metrics/leader.ts'
import type { Acquired } from './acquire.ts'
import type { LeaseCalls, LeaseWrite } from './calls.ts'
import { LeaseLost, type LossReason } from './lost.ts'
import { fenceOf, type Holder, heldSpec, type LeaseRecord, releasedSpec } from './record.ts'

export type TenureOptions = {
  readonly calls: LeaseCalls
  readonly holder: Holder
  /** How long after its last renewal the lease counts as held here. Less than others wait. */
  readonly renewDeadlineMs: number
  readonly retryMs: number
  readonly clock: Clock
  readonly log: Log
  readonly metrics: LeaderRecorder
  /** Called once, as soon as the lease is known to be lost or may be. */
  readonly onLost: (error: LeaseLost) => void
}

/** The time from an acquisition of a lease to its end: renews until it is released or lost. Never held again after that. */
export class Tenure {
  readonly fence: number
  readonly #options: TenureOptions
  readonly #end = new AbortController()
  readonly #deadline: Pick<Timer, 'cancel'>
  #state: 'held' | 'released' | 'lost' = 'held'
  #record: LeaseRecord
  #renewedAt: number

  constructor(options: TenureOptions, { record, writtenAt }: Acquired) {
    this.#options = options
    this.#record = record
    this.#renewedAt = writtenAt
    this.fence = fenceOf(record.resourceVersion)
    this.#deadline = this.#watchDeadline()
    options.metrics.leads(true)
  }

  /** Costs one reading of the clock. */
  isHeld(): boolean {
    if (this.#state !== 'held') return false
    const { clock, renewDeadlineMs } = this.#options
    if (clock.monotonic() - this.#renewedAt < renewDeadlineMs) return true
    this.#lose('Expired', `no renewal of the lease succeeded within ${renewDeadlineMs} ms`)
    return false
  }

  /** Resolves when the lease is released or lost. */
  async renew(): Promise<void> {
    const { clock, retryMs, log } = this.#options
    while (this.#state === 'held') {
      try {
        await sleep(clock, retryMs, this.#end.signal)
        if (this.isHeld()) await this.#renewOnce()
      } catch (error) {
        if (this.#state === 'held') log.warn('the lease could not be renewed; trying again', { error })
      }
    }
  }

  /** Gives the lease back, if it is held: from the call on it is not. Never rejects; tries within one time limit each. */
  async release(): Promise<void> {
    if (!this.isHeld()) return
    const { calls, clock, log } = this.#options
    this.#finish('released')
    const signal = new AbortController().signal
    try {
      const spec = releasedSpec(clock.now())
      const write = await calls.write(spec, this.#record.resourceVersion, signal)
      if (write.type !== 'conflict') return
      // A renewal was under way.
      const found = await calls.read(signal)
      if (found?.holder === this.#options.holder.identity) await calls.write(spec, found.resourceVersion, signal)
    } catch (error) {
      log.warn('the lease could not be released; others will wait until it has expired', { error })
    }
  }

  async #renewOnce(): Promise<void> {
    const { calls, metrics } = this.#options
    const signal = this.#end.signal
    if (this.#settle(await this.#write(this.#record)) === 'known') return
    metrics.slowPath()
    const found = await calls.read(signal)
    if (this.#state !== 'held') return
    if (found === undefined) this.#lose('Deleted', 'the lease was deleted')
    else if (found.holder !== this.#options.holder.identity) {
      this.#lose('Taken', `the lease is held by "${found.holder}"`)
    } else this.#settle(await this.#write(found))
  }

  async #write(known: LeaseRecord): Promise<LeaseWrite & { readonly writtenAt: number }> {
    const { calls, holder, clock } = this.#options
    const writtenAt = clock.monotonic()
    const spec = heldSpec(holder, known, clock.now())
    return { ...(await calls.write(spec, known.resourceVersion, this.#end.signal)), writtenAt }
  }

  /** `unknown`: somebody wrote it; it has to be read first. */
  #settle(write: LeaseWrite & { readonly writtenAt: number }): 'known' | 'unknown' {
    if (this.#state !== 'held') return 'known'
    switch (write.type) {
      case 'written':
        this.#record = write.record
        this.#renewedAt = write.writtenAt
        return 'known'
      case 'gone':
        this.#lose('Deleted', 'the lease was deleted')
        return 'known'
      case 'conflict':
        return 'unknown'
    }
  }

  /** Looks again when the deadline of the last known renewal has passed: there may have been a later one. */
  #watchDeadline(): Pick<Timer, 'cancel'> {
    const { clock, renewDeadlineMs } = this.#options
    let timer: Timer
    const look = () => {
      if (this.isHeld()) set()
    }
    const set = () => {
      const ms = this.#renewedAt + renewDeadlineMs - clock.monotonic()
      timer = clock.timer(Math.max(1, Math.ceil(ms)), look)
    }
    set()
    return { cancel: () => timer.cancel() }
  }

  #lose(reason: LossReason, message: string): void {
    if (this.#state !== 'held') return
    this.#finish('lost')
    this.#options.onLost(new LeaseLost(reason, message))
  }

  #finish(state: 'released' | 'lost'): void {
    this.#state = state
    this.#deadline.cancel()
    this.#end.abort()
    this.#options.metrics.leads(false)
  }
}
