import { setImmediate as nextTurn } from 'node:timers/promises'
import type { Clock } from '../../clock.ts'

/** How long is worked before timers and requests have their turn. */
const SLICE_MS = 8

/**
 * Hands on what it is given, in order: at once as a rule, and in slices, with turns for timers and requests in between,
 * when much comes at once, as a first list does.
 */
export interface Inbox<T> {
  put(value: T): void
  readonly isEmpty: boolean
  /** Resolves when nothing waits. */
  drained(): Promise<void>
}

/** @param handle must not throw */
export function createInbox<T>(clock: Pick<Clock, 'monotonic'>, handle: (value: T) => void): Inbox<T> {
  let waiting: T[] = []
  let draining: Promise<void> | undefined
  /** When this turn began to work; undefined as long as it has not. */
  let turnSince: number | undefined

  const isSpent = (): boolean => {
    const now = clock.monotonic()
    if (turnSince === undefined) {
      turnSince = now
      setImmediate(() => {
        turnSince = undefined
      })
    }
    return now - turnSince >= SLICE_MS
  }

  const drain = async (): Promise<void> => {
    let next = 0
    while (next < waiting.length) {
      await nextTurn()
      const until = clock.monotonic() + SLICE_MS
      for (const value of slice(waiting, next)) {
        handle(value)
        next += 1
        if (clock.monotonic() >= until) break
      }
    }
    waiting = []
    draining = undefined
  }

  return {
    put: (value) => {
      if (draining === undefined && !isSpent()) return handle(value)
      waiting.push(value)
      draining ??= drain()
    },
    get isEmpty() {
      return draining === undefined
    },
    drained: async () => {
      while (draining !== undefined) await draining
    },
  }
}

/** What a list holds from an index on, also what is added meanwhile. */
function* slice<T>(list: readonly T[], from: number): Generator<T> {
  for (let index = from; index < list.length; index++) yield list[index] as T
}
