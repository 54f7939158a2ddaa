/** Longest time for which a load has the event loop to itself where it can be interrupted, in milliseconds. */
const TURN_MS = 0.4

/**
 * Lets others have the event loop whenever a load has had it for long: what waits meanwhile, as the requests of those who
 * call what serves, waits for a step of it and not for all.
 */
export type Pace = () => Promise<void>

/** The first pause is one: what led to the load has had the event loop before. */
export function createPace(): Pace {
  let since = Number.NEGATIVE_INFINITY
  return async () => {
    if (performance.now() - since < TURN_MS) return
    await new Promise(setImmediate)
    since = performance.now()
  }
}
