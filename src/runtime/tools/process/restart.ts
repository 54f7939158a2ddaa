/** Deaths of hosts that count, in milliseconds back from now, and how many of them are replaced at once. */
const WINDOW_MS = 60_000
const FREE_DEATHS = 5
const FIRST_DELAY_MS = 1_000
const LONGEST_DELAY_MS = 30_000

/**
 * How long code that keeps ending its host has to wait for the next one, in milliseconds.
 * @param deaths when its hosts died, in milliseconds of the same clock as `now`
 */
export function restartDelay(deaths: readonly number[], now: number): number {
  const recent = deaths.filter((at) => now - at < WINDOW_MS).length
  if (recent <= FREE_DEATHS) return 0
  return Math.min(LONGEST_DELAY_MS, FIRST_DELAY_MS * 2 ** (recent - FREE_DEATHS - 1))
}
