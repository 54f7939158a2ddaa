import { setImmediate } from 'node:timers/promises'

/**
 * Resolves when it is one's turn: one caller in each turn of the event loop, in the order of the calls. For work that
 * takes long and comes to many at once, as reading the states of all pods: timers and other answers get their turn
 * in between, so that no time limit passes only because everybody worked at one time.
 */
export type Turns = () => Promise<void>

export function createTurns(): Turns {
  let last: Promise<void> = Promise.resolve()
  return () => {
    last = last.then(() => setImmediate())
    return last
  }
}
