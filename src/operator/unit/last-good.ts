import { bundleUnit } from '../place/place.ts'
import type { Desired } from '../ports.ts'

/**
 * What is placed now, but for revisions of which nobody knows yet whether they are any good: there it is what was good
 * before, to go back to.
 * @param isGood whether a check passed a revision of a unit, or a pod serves it
 */
export function lastGood(
  before: Desired | undefined,
  now: Desired,
  isGood: (unit: string, revision: string) => boolean,
): Desired {
  if (before === undefined || before === now) return now
  const keep = <T>(
    was: ReadonlyMap<string, T>,
    is: ReadonlyMap<string, T>,
    mayReplace: (key: string, next: T, last: T) => boolean,
  ): Map<string, T> =>
    new Map(
      [...is].map(([key, next]) => {
        const last = was.get(key)
        return [key, last === undefined || mayReplace(key, next, last) ? next : last]
      }),
    )
  return {
    ...now,
    items: keep(
      before.items,
      now.items,
      (id, next, last) => next.revision === last.revision || isGood(id, next.revision),
    ),
    bundles: keep(
      before.bundles,
      now.bundles,
      (name, next, last) => next.hash === last.hash || isGood(bundleUnit(name), next.hash),
    ),
  }
}
