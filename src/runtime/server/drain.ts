import type { Runs } from '../run/port.ts'

export type DrainOptions = {
  /** Its abort begins the drain. */
  readonly signal: AbortSignal
  /** How long runs under way may go on, in milliseconds. */
  readonly drainMs: number
  readonly runs: Pick<Runs, 'inFlight' | 'cancelAll'>
  /** Resolves when, after the abort, no client is left. */
  readonly quiet: Promise<void>
}

/** `cut`: `runs` of them did not end in time and were cancelled. */
export type Drained = { readonly type: 'quiet' } | { readonly type: 'cut'; readonly runs: number }

/**
 * Waits until no client is left, or the time is up; then the runs that are left are cancelled, so that every stream gets
 * its last event. Resolves when the server may stop.
 */
export async function drained({ signal, drainMs, runs, quiet }: DrainOptions): Promise<Drained> {
  if (!signal.aborted) await new Promise((resolve) => signal.addEventListener('abort', resolve, { once: true }))
  const late = Promise.withResolvers<Drained>()
  const timer = setTimeout(() => {
    const left = runs.inFlight()
    void runs.cancelAll({}, 'the runtime is stopping')
    late.resolve({ type: 'cut', runs: left })
  }, drainMs)
  try {
    return await Promise.race([quiet.then((): Drained => ({ type: 'quiet' })), late.promise])
  } finally {
    clearTimeout(timer)
  }
}
