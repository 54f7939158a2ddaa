/**
 * When the causes of changes were first seen. Object keys (`Agent/support`) count for the sync that takes them up, bundle
 * keys (`bundle/support`) until a change of the bundle is told. All times are milliseconds on the monotonic clock.
 */
export interface Times {
  saw(key: string, seenAt: number): void
  /** The objects seen so far are being synced. */
  syncing(): void
  /** When a change of this object was seen, else the latest object of this sync. */
  take(key: string): number | undefined
  /**
   * The same for all changes that one look found; ends the sync. A change that was not seen itself follows from the
   * latest of the others; without any its time is undefined.
   */
  takeAll(keys: readonly string[]): (number | undefined)[]
}

export function createTimes(): Times {
  let seen = new Map<string, number>()
  let synced: ReadonlyMap<string, number> = new Map()
  const bundles = new Map<string, number>()
  const own = (key: string) => synced.get(key) ?? bundles.get(key)
  return {
    saw(key, seenAt) {
      const times = key.startsWith('bundle/') ? bundles : seen
      times.set(key, seenAt)
    },
    syncing() {
      synced = seen
      seen = new Map()
    },
    take: (key) => own(key) ?? latest([...synced.values()]),
    takeAll(keys) {
      const cause = latest(keys.map(own)) ?? latest([...synced.values()])
      const times = keys.map((key) => own(key) ?? cause)
      for (const key of keys) bundles.delete(key)
      synced = new Map()
      return times
    },
  }
}

function latest(times: readonly (number | undefined)[]): number | undefined {
  const known = times.filter((time) => time !== undefined)
  return known.length === 0 ? undefined : Math.max(...known)
}
