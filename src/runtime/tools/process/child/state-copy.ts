import type { JSONValue } from '@ai-sdk/provider'
import { type BundleStates, createStates, type StateValues } from '../../author/state.ts'

/** Time between two values of one state that are sent, in milliseconds; the first one goes at once. */
const EVERY_MS = 50

export type StateWrite = {
  readonly type: 'state'
  readonly name: string
  readonly value: JSONValue
  readonly at: number
}

/** What the code of this process reads and writes: a copy of what all versions of the bundle share. */
export type StateCopy = {
  readonly states: BundleStates
  /** Sends what was set and not sent yet. */
  flush(): void
  /**
   * Another process has set a value.
   * @param seen number of the last write of this process that came before it: a later one takes its place
   */
  heard(name: string, value: JSONValue, seen: number): void
}

// Taken before tool code runs, which may replace it. Dictionaries without prototype need nothing of it.
const { setTimeout: startTimer } = globalThis

/** Of what is set in a loop, the last value is sent. */
export function createStateCopy(
  values: StateValues,
  send: (write: StateWrite) => void,
  later: (callback: () => void, ms: number) => void = startTimer,
): StateCopy {
  const lastWrites: Record<string, number> = Object.create(null)
  /** By name, what is to be sent; undefined when the last value was sent a moment ago. */
  const recent: Record<string, StateWrite | undefined> = Object.create(null)
  let at = 0
  let isTimed = false
  const flush = () => {
    for (const name in recent) {
      const write = recent[name]
      if (write !== undefined) send(write)
      recent[name] = undefined
    }
  }
  const next = () => {
    isTimed = false
    for (const name in recent) {
      const write = recent[name]
      if (write === undefined) delete recent[name]
      else put(write)
    }
  }
  const put = (write: StateWrite) => {
    recent[write.name] = undefined
    send(write)
    if (!isTimed) later(next, EVERY_MS)
    isTimed = true
  }
  const states = createStates(values, (name, value) => {
    at += 1
    lastWrites[name] = at
    const write: StateWrite = { type: 'state', name, value, at }
    if (name in recent) recent[name] = write
    else put(write)
  })
  return {
    states,
    flush,
    heard: (name, value, seen) => {
      if ((lastWrites[name] ?? 0) <= seen) states.accept(name, value)
    },
  }
}
