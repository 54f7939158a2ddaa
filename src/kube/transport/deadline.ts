import type { Clock } from '../../clock.ts'
import { unanswered } from './failure.ts'

/** A signal that aborts with the first of others, or with an ApiError `Timeout`; to be disposed. */
export type Deadline = Disposable & {
  readonly signal: AbortSignal
  /** Takes the time limit away; the other signals go on counting. */
  lift(): void
}

export function createDeadline(clock: Clock, ms: number, signals: readonly AbortSignal[]): Deadline {
  const controller = new AbortController()
  const links = signals.map((signal) => {
    const onAbort = () => controller.abort(signal.reason)
    if (signal.aborted) onAbort()
    else signal.addEventListener('abort', onAbort, { once: true })
    return () => signal.removeEventListener('abort', onAbort)
  })
  const timer = clock.timer(ms, () =>
    controller.abort(unanswered('Timeout', `the API server did not answer within ${ms} ms`)),
  )
  return {
    signal: controller.signal,
    lift: () => timer.cancel(),
    [Symbol.dispose]: () => {
      timer.cancel()
      for (const unlink of links) unlink()
    },
  }
}
