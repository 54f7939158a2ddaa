import { type Clock, systemClock } from '../../../../src/clock.ts'

/** Real time, but for what is measured and waited for, which passes so many times as fast. */
export type QuickClock = Clock & {
  /** From now on; what is waited for already is not hurried. */
  run(speed: number): void
}

export function createQuickClock(speed = 1): QuickClock {
  let from = { speed, real: systemClock.monotonic(), quick: 0 }
  const monotonic = () => from.quick + (systemClock.monotonic() - from.real) * from.speed
  return {
    now: () => systemClock.now(),
    monotonic,
    timer: (ms, callback) => systemClock.timer(ms / from.speed, callback),
    run: (next) => {
      from = { speed: next, real: systemClock.monotonic(), quick: monotonic() }
    },
  }
}
