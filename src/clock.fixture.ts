import type { Clock, Timer } from './clock.ts'

export type VirtualClock = Clock & {
  /** Resolves as soon as a timer of exactly that many milliseconds runs. */
  scheduled(ms: number): Promise<void>
  /** Lets time pass: calls back what falls due, in order. */
  advance(ms: number): void
  /** Sets the wall clock forward or, if negative, back; no time passes. */
  jump(ms: number): void
  /** How many timers run. */
  running(): number
}

type Entry = { readonly ms: number; due: number; readonly callback: () => void }

/** Time that passes by hand. */
export function createVirtualClock(start = 1_000_000): VirtualClock {
  let elapsed = 0
  let epoch = start
  const entries = new Set<Entry>()
  let waiting: { readonly ms: number; readonly resolve: () => void }[] = []

  const timer = (ms: number, callback: () => void): Timer => {
    const entry: Entry = { ms, due: elapsed + ms, callback }
    entries.add(entry)
    for (const { resolve } of waiting.filter((waiter) => waiter.ms === ms)) resolve()
    waiting = waiting.filter((waiter) => waiter.ms !== ms)
    return {
      refresh: () => {
        entry.due = elapsed + ms
      },
      cancel: () => void entries.delete(entry),
    }
  }

  return {
    now: () => epoch + elapsed,
    monotonic: () => elapsed,
    timer,
    scheduled: async (ms) => {
      if ([...entries].some((entry) => entry.ms === ms)) return
      await new Promise<void>((resolve) => {
        waiting.push({ ms, resolve })
      })
    },
    advance: (ms) => {
      const end = elapsed + ms
      for (;;) {
        const [next] = [...entries].filter(({ due }) => due <= end).sort((a, b) => a.due - b.due)
        if (next === undefined) break
        entries.delete(next)
        elapsed = next.due
        next.callback()
      }
      elapsed = end
    },
    jump: (ms) => {
      epoch += ms
    },
    running: () => entries.size,
  }
}
