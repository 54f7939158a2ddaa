import { type Clock, systemClock, type Timer } from '../../../../src/clock.ts'

/** The real clock, which can be set forward; then what falls due is called back. */
export function createSkippingClock(): Clock & { skip(ms: number): void } {
  let skipped = 0
  const timers = new Set<{ due: number; readonly fire: () => void }>()
  const monotonic = () => systemClock.monotonic() + skipped
  const timer = (ms: number, callback: () => void): Timer => {
    const fire = () => {
      cancel()
      callback()
    }
    const real = systemClock.timer(ms, fire)
    const entry = { due: monotonic() + ms, fire }
    const cancel = () => {
      timers.delete(entry)
      real.cancel()
    }
    timers.add(entry)
    return {
      cancel,
      refresh: () => {
        entry.due = monotonic() + ms
        real.refresh()
      },
    }
  }
  return {
    now: () => systemClock.now() + skipped,
    monotonic,
    timer,
    skip: (ms) => {
      skipped += ms
      for (const { due, fire } of [...timers]) if (due <= monotonic()) fire()
    },
  }
}
