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
