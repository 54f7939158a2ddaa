export type Timer = {
  /** Starts the time again from now. */
  refresh(): void
  /** Idempotent. */
  cancel(): void
}

/** Where time comes from, so that back-off and time limits can be tried without waiting. */
export interface Clock {
  /** Milliseconds since 1970. */
  now(): number
  /** Milliseconds since some moment; never jumps, whatever is done to the wall clock. For durations. */
  monotonic(): number
  /** Calls back once, `ms` milliseconds after the start or the last refresh. */
  timer(ms: number, callback: () => void): Timer
}

export const systemClock: Clock = {
  now: () => Date.now(),
  monotonic: () => performance.now(),
  timer: (ms, callback) => {
    const timeout = setTimeout(callback, ms)
    return {
      refresh: () => {
        timeout.refresh()
      },
      cancel: () => clearTimeout(timeout),
    }
  },
}

/** Waits; rejects with the signal's reason as soon as it aborts. */
export function sleep(clock: Clock, ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal.aborted) return reject(signal.reason)
    const onAbort = () => {
      timer.cancel()
      reject(signal.reason)
    }
    const timer = clock.timer(ms, () => {
      signal.removeEventListener('abort', onAbort)
      resolve()
    })
    signal.addEventListener('abort', onAbort, { once: true })
  })
}

/** The promise, or the signal's reason as soon as it aborts: what ignores its signal is not waited for. */
export function abandonOnAbort<T>(promise: PromiseLike<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const onAbort = () => reject(signal.reason)
    if (signal.aborted) onAbort()
    else signal.addEventListener('abort', onAbort, { once: true })
    promise.then(
      (value) => {
        signal.removeEventListener('abort', onAbort)
        resolve(value)
      },
      (error: unknown) => {
        signal.removeEventListener('abort', onAbort)
        reject(error)
      },
    )
  })
}

/** A controller that aborts with another signal, until `release`. */
export type Linked = { readonly signal: AbortSignal; abort(reason: unknown): void; release(): void }

export function linkedTo(parent: AbortSignal): Linked {
  const controller = new AbortController()
  const onAbort = () => controller.abort(parent.reason)
  if (parent.aborted) onAbort()
  else parent.addEventListener('abort', onAbort, { once: true })
  return {
    signal: controller.signal,
    abort: (reason) => controller.abort(reason),
    release: () => parent.removeEventListener('abort', onAbort),
  }
}
