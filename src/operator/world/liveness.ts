import type { Clock } from '../../clock.ts'

/** Whether watches work, or try to: one that does neither is a defect that a restart may mend. */
export interface Liveness {
  /** A watch came to another state. Its first call makes it count. */
  moved(watch: object): void
  readonly isAlive: boolean
}

/** A watch is asked anew every 5 to 10 min: twice that and a little. */
const MOST_STILL_MS = 1_210_000

export function createLiveness(clock: Pick<Clock, 'monotonic'>): Liveness {
  const movedAt = new Map<object, number>()
  return {
    moved: (watch) => void movedAt.set(watch, clock.monotonic()),
    get isAlive() {
      const now = clock.monotonic()
      return movedAt.values().every((at) => now - at < MOST_STILL_MS)
    },
  }
}
