import type { WatchMetrics } from '../metrics/watch.ts'
import { type KubeObject, keyOf, type ObjectKey, type ObjectSink } from '../types.ts'
import type { State } from './state.ts'

/** A sink that keeps everything, and counts how it came. */
export type RecordingSink = ObjectSink & {
  readonly objects: ReadonlyMap<ObjectKey, KubeObject>
  /** Keys that `replace` or `remove` took away, in order. */
  readonly removed: readonly ObjectKey[]
  readonly replaces: number
  readonly upserts: number
}

export function createRecordingSink(): RecordingSink {
  const objects = new Map<ObjectKey, KubeObject>()
  const removed: ObjectKey[] = []
  const counts = { replaces: 0, upserts: 0 }
  const remove = (key: ObjectKey) => {
    if (objects.delete(key)) removed.push(key)
  }
  return {
    objects,
    removed,
    get replaces() {
      return counts.replaces
    },
    get upserts() {
      return counts.upserts
    },
    replace: (all) => {
      counts.replaces += 1
      const now = new Map(all.map((object) => [keyOf(object), object]))
      for (const key of objects.keys()) if (!now.has(key)) remove(key)
      for (const [key, object] of now) objects.set(key, object)
    },
    upsert: (object) => {
      counts.upserts += 1
      objects.set(keyOf(object), object)
    },
    remove: (object) => remove(keyOf(object)),
  }
}

/** What a watcher reported: its states, restarts, lists and events. */
export type WatchRecord = {
  readonly metrics: WatchMetrics
  readonly states: readonly State[]
  readonly restarts: readonly string[]
  readonly relists: readonly string[]
  readonly events: readonly string[]
  onState(state: State): void
}

export function createWatchRecord(): WatchRecord {
  const states: State[] = []
  const restarts: string[] = []
  const relists: string[] = []
  const events: string[] = []
  return {
    states,
    restarts,
    relists,
    events,
    onState: (state) => states.push(state),
    metrics: {
      started: () => undefined,
      event: (_kind, type) => events.push(type),
      restarted: (_kind, reason) => restarts.push(reason),
      relisted: (_kind, reason) => relists.push(reason),
    },
  }
}
