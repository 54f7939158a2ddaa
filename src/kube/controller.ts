import { setImmediate as nextTurn } from 'node:timers/promises'
import { type Clock, linkedTo } from '../clock.ts'
import type { Log } from '../log.ts'
import { LeaseLost } from './lease/lost.ts'
import type { ControllerRecorder, ReconcileResult } from './metrics/controller.ts'
import type { Priority, WorkItem, WorkQueue } from './queue/work-queue.ts'
import type { ObjectKey } from './types.ts'

/** What became of one reconcile, and so when the key runs next. */
export type Outcome =
  /** Done: the next change is the next reason to run. */
  | { readonly type: 'settled' }
  /** Done for now; looks again later, for what no watch tells, with the priority of this run unless told. */
  | { readonly type: 'requeue'; readonly afterMs: number; readonly priority?: Priority }
  /** Failed in a way that may pass: runs again after its back-off. */
  | { readonly type: 'retry'; readonly error: unknown }
  /** Failed until its input changes: no retry. */
  | { readonly type: 'stalled'; readonly error: unknown }

export type ControllerOptions = {
  /** A word for logs. */
  readonly name: string
  readonly queue: WorkQueue
  /** How many keys are worked on at once. */
  readonly workers: number
  /**
   * Brings the world to what is wanted of the key; is not told why it runs. Must end soon after its signal has aborted:
   * it keeps its worker and its key until then. What it throws counts as a panic and is retried.
   */
  readonly reconcile: (key: ObjectKey, signal: AbortSignal) => Promise<Outcome>
  /** Aborts the signal of a reconcile that takes longer. */
  readonly timeoutMs?: number
  /** How long reconciles that run may go on after the controller's signal has aborted. 30 s, as in controller-runtime. */
  readonly graceMs?: number
  readonly metrics: ControllerRecorder
  readonly log: Log
  readonly clock: Clock
}

/** A reconcile took longer than its time limit. */
export class ReconcileTimeout extends Error {
  override readonly name = 'ReconcileTimeout'
}

const GRACE_MS = 30_000
/** How long a worker goes on from item to item without letting I/O and timers have their turn. */
const MAX_STRETCH_MS = 10

export function settle(queue: WorkQueue, { key, priority }: WorkItem, outcome: Outcome): void {
  switch (outcome.type) {
    case 'settled':
    case 'stalled':
      queue.forget(key)
      break
    case 'requeue':
      queue.forget(key)
      queue.add(key, { priority: outcome.priority ?? priority, afterMs: outcome.afterMs })
      break
    case 'retry':
      queue.addRateLimited(key, priority)
      break
  }
}

/**
 * Works on the queue until the signal aborts. From then on nothing new starts; what runs gets the grace period, after
 * which its own signal aborts. No grace when the reason is {@link LeaseLost}: another process may already write.
 * Resolves when everything has ended, or was told to end. Shuts the queue down.
 */
export async function runController(options: ControllerOptions, signal: AbortSignal): Promise<void> {
  const { queue, workers, metrics, clock, graceMs = GRACE_MS } = options
  const hardStop = new AbortController()
  const abandoned = Promise.withResolvers<void>()
  metrics.workers(workers)
  const work = Promise.all(Array.from({ length: workers }, () => runWorker(options, signal, hardStop.signal)))
  const abandon = () => {
    hardStop.abort(signal.reason)
    abandoned.resolve()
  }
  const stop = () => {
    void queue.shutDown()
    if (signal.reason instanceof LeaseLost) return abandon()
    const timer = clock.timer(graceMs, abandon)
    void work.finally(() => timer.cancel())
  }
  if (signal.aborted) stop()
  else signal.addEventListener('abort', stop, { once: true })
  await Promise.race([work, abandoned.promise])
}

async function runWorker(options: ControllerOptions, signal: AbortSignal, hardStop: AbortSignal): Promise<void> {
  const { queue, clock } = options
  let turnSince = clock.monotonic()
  for (;;) {
    const item = await queue.get(signal)
    if (item === undefined) return
    const outcome = await runOnce(options, item.key, hardStop)
    settle(queue, item, outcome)
    queue.done(item.key)
    if (clock.monotonic() - turnSince >= MAX_STRETCH_MS) {
      await nextTurn()
      turnSince = clock.monotonic()
    }
  }
}

async function runOnce(options: ControllerOptions, key: ObjectKey, hardStop: AbortSignal): Promise<Outcome> {
  const { name, timeoutMs, metrics, log, clock } = options
  const run = linkedTo(hardStop)
  const onTimeout = () => run.abort(new ReconcileTimeout(`took longer than ${timeoutMs} ms`))
  const timer = timeoutMs === undefined ? undefined : clock.timer(timeoutMs, onTimeout)
  const startedAt = clock.monotonic()
  metrics.started()
  const outcome = await attempt(options, key, run.signal)
  timer?.cancel()
  run.release()
  metrics.ended(RESULTS[outcome.type], (clock.monotonic() - startedAt) / 1000)
  if (outcome.type === 'stalled') {
    metrics.stalled()
    log.warn('a reconcile failed until its input changes', { controller: name, key, error: outcome.error })
  }
  if (outcome.type === 'retry') {
    if (run.signal.reason instanceof ReconcileTimeout) metrics.timedOut()
    if (!hardStop.aborted)
      log.warn('a reconcile failed and will be retried', { controller: name, key, error: outcome.error })
  }
  return outcome
}

/** What it throws because it was told to end is no panic. */
async function attempt(options: ControllerOptions, key: ObjectKey, signal: AbortSignal): Promise<Outcome> {
  try {
    return await options.reconcile(key, signal)
  } catch (error) {
    if (!signal.aborted) options.metrics.panicked()
    return { type: 'retry', error }
  }
}

const RESULTS = {
  settled: 'success',
  requeue: 'requeue_after',
  retry: 'error',
  stalled: 'error',
} as const satisfies Record<Outcome['type'], ReconcileResult>
