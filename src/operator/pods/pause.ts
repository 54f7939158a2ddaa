import { type Clock, linkedTo, sleep } from '../../clock.ts'

const MIN_MS = 50
const MAX_MS = 1000
const MAX_STARTING_MS = 100

/**
 * How long to wait after so many failures: twice as long after each, at least half of that at random.
 * @param isStarting whether the pod is on its way up: then it is asked more often
 */
export function pauseAfter(failures: number, isStarting: boolean, random: () => number): number {
  const longest = isStarting ? MAX_STARTING_MS : MAX_MS
  return Math.min(longest, MIN_MS * 2 ** (failures - 1)) * (0.5 + random() / 2)
}

/** A wait that may be cut short. */
export class Pause {
  #end: () => void = ignore

  /** Resolves after `ms`, after `end` or when the signal aborts. */
  async sleep(clock: Clock, ms: number, signal: AbortSignal): Promise<void> {
    const pause = linkedTo(signal)
    this.#end = () => pause.abort(new Error('the pause was ended'))
    await sleep(clock, ms, pause.signal).catch(ignore)
    this.#end = ignore
    pause.release()
  }

  /** Ends the wait that is under way, if there is one. */
  end(): void {
    this.#end()
  }
}

const ignore = () => undefined
