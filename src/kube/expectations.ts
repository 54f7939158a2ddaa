import type { Clock } from '../clock.ts'
import { hasReached } from './resource-version.ts'
import type { ObjectCache } from './store.ts'
import { type KubeObject, keyOf, type ObjectKey } from './types.ts'

export type ExpectationsOptions = {
  /** The cache that will show what was written: one watch, so that it shows everything in order. */
  readonly cache: Pick<ObjectCache, 'resourceVersion'>
  readonly clock: Pick<Clock, 'monotonic'>
  /** How many writes are kept at most; the oldest go first. */
  readonly limit?: number
  /** What no watch has shown for so long, as an object outside its selector, is forgotten. */
  readonly maxAgeMs?: number
}

/**
 * Reads that include one's own writes: a reconcile right after a write would else see a cache from before it, and write
 * or create a second time. Holds an answer until the cache has seen everything up to it, whatever became of the object
 * since: so also one that was deleted, or replaced under its name.
 */
export interface Expectations {
  /** @param object as the API server answered to a create or a patch */
  wrote(object: KubeObject): void
  /** The newer of what the cache holds and what was written last. */
  latest(key: ObjectKey, cached: KubeObject | undefined): KubeObject | undefined
  /** To be called with every version that the cache shows. @returns whether it is exactly what was written last */
  shown(object: KubeObject): boolean
  /** How many writes the cache has, as far as anybody looked, not shown yet. */
  readonly size: number
}

const LIMIT = 10_000
const MAX_AGE_MS = 600_000

export function createExpectations(options: ExpectationsOptions): Expectations {
  const { cache, clock, limit = LIMIT, maxAgeMs = MAX_AGE_MS } = options
  /** Oldest first. */
  const writes = new Map<ObjectKey, { readonly object: KubeObject; readonly at: number }>()

  const wrote = (object: KubeObject): void => {
    const key = keyOf(object)
    const version = object.metadata.resourceVersion
    if (version === undefined || hasReached(cache.resourceVersion, version)) return
    if (hasReached(writes.get(key)?.object.metadata.resourceVersion, version)) return
    writes.delete(key)
    writes.set(key, { object, at: clock.monotonic() })
    const [oldest] = writes.keys()
    if (writes.size > limit && oldest !== undefined) writes.delete(oldest)
  }

  const latest = (key: ObjectKey, cached: KubeObject | undefined): KubeObject | undefined => {
    const write = writes.get(key)
    const version = write?.object.metadata.resourceVersion
    if (write === undefined || version === undefined) return cached
    const isShown = hasReached(cache.resourceVersion, version) || hasReached(cached?.metadata.resourceVersion, version)
    if (!isShown && clock.monotonic() - write.at < maxAgeMs) return write.object
    writes.delete(key)
    return cached
  }

  const shown = (object: KubeObject): boolean => {
    const key = keyOf(object)
    const version = writes.get(key)?.object.metadata.resourceVersion
    if (version === undefined || !hasReached(object.metadata.resourceVersion, version)) return false
    writes.delete(key)
    return object.metadata.resourceVersion === version
  }

  return {
    wrote,
    latest,
    shown,
    get size() {
      return writes.size
    },
  }
}
