import type { Clock } from '../../clock.ts'
import {
  createExpectations,
  createStore,
  type KubeClient,
  type KubeObject,
  keyOfName,
  type ObjectName,
  type WatchClient,
  type WatchMetrics,
  type WatchState,
  watchObjects,
} from '../../kube/index.ts'
import type { Log } from '../../log.ts'
import {
  CHILD_KINDS,
  CHILD_TYPES,
  type ChildKind,
  type ChildObjects,
  controllerOf,
  MANAGED_BY,
  MANAGED_BY_LABEL,
  RUNTIME_LABEL,
} from '../runtimes/index.ts'
import { createLiveness } from './liveness.ts'
import type { WatchLog } from './watch-log.ts'

export type ChildWatchOptions = {
  readonly client: KubeClient & WatchClient
  /** Empty: all of them. */
  readonly namespaces: readonly string[]
  readonly clock: Clock
  readonly log: Log
  readonly metrics: WatchMetrics
  readonly watchLog: WatchLog
  /** Something that belongs to an AgentRuntime, or did, changed; also called for what was there from the start. */
  readonly onChange: (runtime: ObjectName, isInitial: boolean) => void
}

/** The objects that AgentRuntimes are made of, watched by the operator's label. */
export interface ChildWatches extends ChildObjects {
  /** Resolves when all lists are complete. */
  synced(signal: AbortSignal): Promise<unknown>
  readonly isAlive: boolean
  counts(): Record<string, number>
  /** Resolves when the signal has aborted and nothing is watched any more. */
  readonly ended: Promise<unknown>
}

/** Watches until the signal aborts. */
export function watchChildren(options: ChildWatchOptions, signal: AbortSignal): ChildWatches {
  const { client, namespaces, clock, log, metrics, watchLog, onChange } = options
  const liveness = createLiveness(clock)
  const scopes = namespaces.length === 0 ? [undefined] : namespaces

  const shelves = CHILD_KINDS.flatMap((kind) =>
    scopes.map((namespace) => {
      const store = createStore({ log })
      store.subscribe(({ object, old, isInitial }) => {
        const names = new Set([object, ...(old ? [old] : [])].flatMap((each) => runtimeOf(each) ?? []))
        for (const name of names) onChange({ namespace: object.metadata.namespace, name }, isInitial)
      })
      return { kind, namespace, store, expectations: createExpectations({ cache: store, clock }) }
    }),
  )
  const watches = shelves.map((shelf) => {
    const { kind, namespace, store: sink } = shelf
    const tell = watchLog(kind, namespace)
    const onState = (state: WatchState): void => {
      liveness.moved(shelf)
      tell(state)
    }
    const selection = { namespace, labelSelector: `${MANAGED_BY_LABEL}=${MANAGED_BY}` }
    return watchObjects({ client, type: CHILD_TYPES[kind], sink, ...selection, metrics, clock, onState }, signal)
  })
  const shelfOf = (kind: ChildKind, namespace: string | undefined) =>
    shelves.find((shelf) => shelf.kind === kind && (shelf.namespace ?? namespace) === namespace)

  return {
    get: (kind, name) => {
      const { store, expectations } = shelfOf(kind, name.namespace) ?? {}
      const key = keyOfName(name)
      return expectations?.latest(key, store?.get(key))
    },
    wrote: (kind, object) => shelfOf(kind, object.metadata.namespace)?.expectations.wrote(object),
    synced: (until) => Promise.all(shelves.map(({ store }) => store.synced(until))),
    get isAlive() {
      return liveness.isAlive
    },
    counts: () => {
      const out: Record<string, number> = {}
      for (const { kind, store } of shelves) out[kind] = (out[kind] ?? 0) + store.size
      return out
    },
    ended: Promise.all(watches),
  }
}

/** Name of the AgentRuntime: its owner says it too, where somebody changed the label. */
function runtimeOf(object: KubeObject): readonly string[] {
  const owner = controllerOf(object)
  const label = object.metadata.labels?.[RUNTIME_LABEL]
  return [...(owner?.kind === 'AgentRuntime' ? [owner.name] : []), ...(label === undefined ? [] : [label])]
}
