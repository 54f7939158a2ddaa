import { KINDS, type Kind } from '../../api/index.ts'
import type { Clock } from '../../clock.ts'
import {
  createExpectations,
  createStore,
  type Expectations,
  type KubeClient,
  type KubeObject,
  keyOf,
  type ObjectName,
  type Store,
  type StoreEvent,
  type WatchClient,
  type WatchMetrics,
  type WatchState,
  watchObjects,
} from '../../kube/index.ts'
import type { Log } from '../../log.ts'
import { RESOURCE_TYPES } from '../items/keys.ts'
import { type Catalogue, type Change, createCatalogue } from './catalogue.ts'
import { createInbox } from './inbox.ts'
import { createLiveness } from './liveness.ts'
import type { WatchLog } from './watch-log.ts'

/** An object that changed, or was there from the start. */
export type Seen = {
  readonly object: KubeObject
  /** Absent where nothing changed that a runtime serves. */
  readonly change: Change | undefined
  readonly isInitial: boolean
  /** It is what this process wrote. */
  readonly isOwn: boolean
}

export type WorldOptions = {
  readonly client: KubeClient & WatchClient
  /** Empty: all of them. */
  readonly namespaces: readonly string[]
  readonly clock: Clock
  readonly log: Log
  readonly metrics: WatchMetrics
  readonly watchLog: WatchLog
  readonly onObject: (seen: Seen) => void
}

/** The objects of the four kinds as the API server has them, compiled. */
export interface World {
  readonly catalogue: Catalogue
  /** Resolves when all lists are complete. */
  synced(signal: AbortSignal): Promise<void>
  /** Whether every watch works, or tries to. One that does neither is a defect that a restart may mend. */
  readonly isAlive: boolean
  expectations(kind: Kind, namespace: string | undefined): Expectations
  runtimes(): Iterable<KubeObject>
  /** How many objects of each kind there are. */
  counts(): Record<string, number>
  /** How many of each kind say of themselves that time does not help: `Stalled`. */
  stalled(): Record<string, number>
  /** Resolves when the signal has aborted and nothing is watched any more. */
  readonly ended: Promise<unknown>
}

type Arrival = { readonly event: StoreEvent; readonly expectations: Expectations }

type Shelf = {
  readonly store: Store
  readonly expectations: Expectations
  readonly kind: Kind
  readonly namespace: string | undefined
}

/** Read without a schema: thousands of objects are looked at with every scrape. */
function isStalled({ status }: KubeObject): boolean {
  const { conditions } = (status ?? {}) as { readonly conditions?: unknown }
  if (!Array.isArray(conditions)) return false
  return conditions.some(
    (each: { type?: unknown; status?: unknown } | null) => each?.type === 'Stalled' && each.status === 'True',
  )
}

/** Watches the four kinds in the given namespaces until the signal aborts. */
export function watchWorld(options: WorldOptions, signal: AbortSignal): World {
  const { namespaces, clock, log, metrics, client, watchLog } = options
  const catalogue = createCatalogue()
  const inbox = createInbox(clock, (arrival: Arrival) => {
    try {
      take(arrival)
    } catch (error) {
      log.error('an object could not be taken in', { key: keyOf(arrival.event.object), error })
    }
  })
  const scopes = namespaces.length === 0 ? [undefined] : namespaces
  const shelves = kinds().flatMap((kind) => scopes.map((namespace) => shelf(kind, namespace)))

  function shelf(kind: Kind, namespace: string | undefined): Shelf {
    const store = createStore({ log })
    const expectations = createExpectations({ cache: store, clock })
    store.subscribe((event) => inbox.put({ event, expectations }))
    return { store, kind, namespace, expectations }
  }
  function take({ event: { type, object, isInitial }, expectations }: Arrival): void {
    const change = type === 'DELETED' ? catalogue.remove(object) : catalogue.put(object)
    options.onObject({ object, change, isInitial, isOwn: expectations.shown(object) && type !== 'DELETED' })
  }
  function countOf(count: (store: Store) => number): Record<string, number> {
    const out: Record<string, number> = {}
    for (const { kind, store } of shelves) out[kind] = (out[kind] ?? 0) + count(store)
    return out
  }
  const liveness = createLiveness(clock)
  const watches = shelves.map((each) => {
    const { kind, namespace, store } = each
    const tell = watchLog(kind, namespace)
    const onState = (state: WatchState): void => {
      liveness.moved(each)
      tell(state)
    }
    const type = RESOURCE_TYPES[kind]
    return watchObjects({ client, type, sink: store, namespace, metrics, clock, onState }, signal)
  })
  return {
    catalogue,
    synced: async (until) => {
      await Promise.all(shelves.map(({ store }) => store.synced(until)))
      await inbox.drained()
    },
    get isAlive() {
      return liveness.isAlive
    },
    expectations: (kind, namespace) => {
      const found = shelves.find((each) => each.kind === kind && (each.namespace ?? namespace) === namespace)
      if (found === undefined) throw new Error(`nothing of namespace ${namespace} is watched`)
      return found.expectations
    },
    runtimes: () => shelves.flatMap(({ kind, store }) => (kind === 'AgentRuntime' ? store.list() : [])),
    counts: () => countOf(({ size }) => size),
    stalled: () => countOf((store) => store.list().filter(isStalled).length),
    ended: Promise.all(watches),
  }
}

/** AgentRuntimes of a namespace: all, or those of these names that there are. */
export function* runtimesIn(
  { catalogue, runtimes }: Pick<World, 'catalogue' | 'runtimes'>,
  namespace: string | undefined,
  names: 'all' | ReadonlySet<string> = 'all',
): Iterable<ObjectName> {
  if (names === 'all') {
    for (const { metadata } of runtimes()) if (metadata.namespace === namespace) yield metadata
    return
  }
  for (const name of names) if (catalogue.get('AgentRuntime', { namespace, name })) yield { namespace, name }
}

const kinds = (): Kind[] => Object.keys(KINDS) as Kind[]
