/** Most hosts of versions that do not serve: what is beyond is ended, and comes back when it is called. */
const MAX_OTHERS = 4

/** A version with a process of its own. */
export type Resting = {
  readonly bundle: string
  /** Whether it is known to have served: something called it, or a newer version was loaded while it served. */
  readonly hasServed: boolean
  readonly isAwake: boolean
  /** Whether its process could be ended without anybody noticing. */
  readonly isIdle: boolean
}

/**
 * Which versions are to sleep, of all that there are in the order of their load. What serves never is: of each bundle
 * the newest version that has served, or the first one. Those newer than that, which were only tried so far, come before
 * those that newer ones have replaced.
 */
export function toSleep<T extends Resting>(versions: Iterable<T>): T[] {
  const serving = new Map<string, T>()
  const tried: T[] = []
  const replaced: T[] = []
  for (const version of versions) {
    const before = serving.get(version.bundle)
    if (before !== undefined && !version.hasServed) {
      tried.push(version)
      continue
    }
    if (before !== undefined) replaced.push(before)
    serving.set(version.bundle, version)
  }
  const others = [...tried, ...replaced].filter(({ isAwake }) => isAwake)
  return others.slice(0, Math.max(0, others.length - MAX_OTHERS)).filter(({ isIdle }) => isIdle)
}
