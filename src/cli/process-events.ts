import type { Log } from '../log.ts'

/** The exit code of a process that was stopped by Ctrl-C. */
const INTERRUPTED = 130

/** Aborts on the first SIGINT or SIGTERM, so that work under way can end well; the second ends the process at once. */
export function stopSignal(): AbortSignal {
  const stop = new AbortController()
  const onSignal = () => {
    if (stop.signal.aborted) process.exit(INTERRUPTED)
    stop.abort()
  }
  process.on('SIGINT', onSignal).on('SIGTERM', onSignal)
  return stop.signal
}
/**
 * Logs errors that nobody waits for, instead of ending the process, until the signal aborts. Tool code runs in this
 * process (`--isolation none`), and a timer or promise that it leaves behind must not take the other agents down.
 */
export function logStrayErrors(log: Log, signal: AbortSignal): void {
  const onError = (error: unknown): void =>
    log.error('an error that nobody waited for: a tool left a timer or promise behind, or this is a bug', { error })
  process.on('unhandledRejection', onError).on('uncaughtException', onError)
  signal.addEventListener(
    'abort',
    () => void process.off('unhandledRejection', onError).off('uncaughtException', onError),
    { once: true },
  )
}
