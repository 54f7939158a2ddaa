import { KINDS, type Kind } from '../../api/index.ts'
import type { Clock } from '../../clock.ts'
import {
  createExpectations,
  createStore,
  type Expectations,
  type KubeClient,
  type KubeObject,
  type Store,
  type StoreEvent,
  type WatchClient,
  type WatchMetrics,
  watchObjects,
} from '../../kube/index.ts'
import type { Log } from '../../log.ts'
import { RESOURCE_TYPES } from '../items/keys.ts'
import { type Catalogue, type Change, createCatalogue } from './catalogue.ts'

export type WorldOptions = {
  readonly client: KubeClient & WatchClient
  /** Empty: all of them. */
  readonly namespaces: readonly string[]
  readonly clock: Clock
  readonly log: Log
  readonly metrics: WatchMetrics
  /** An object changed, or was there from the start. `change` is absent where nothing changed that a runtime serves. */
  readonly onObject: (object: KubeObject, change: Change | undefined, isInitial: boolean) => void
}

/** The objects of the four kinds as the API server has them, compiled. */
export interface World {
  readonly catalogue: Catalogue
  /** Resolves when all lists are complete. */
  synced(signal: AbortSignal): Promise<void>
  readonly hasSynced: boolean
  expectations(kind: Kind, namespace: string | undefined): Expectations
  runtimes(): Iterable<KubeObject>
  /** How many objects of each kind there are. */
  counts(): Record<string, number>
  /** Resolves when the signal has aborted and nothing is watched any more. */
  readonly ended: Promise<unknown>
}

type Shelf = {
  readonly store: Store
  readonly expectations: Expectations
  readonly kind: Kind
  readonly namespace: string | undefined
}

/** Watches the four kinds in the given namespaces until the signal aborts. */
export function watchWorld(options: WorldOptions, signal: AbortSignal): World {
  const { namespaces, clock, log, metrics, client } = options
  const catalogue = createCatalogue()
  const scopes = namespaces.length === 0 ? [undefined] : namespaces
  const shelves = kinds().flatMap((kind) => scopes.map((namespace) => shelf(kind, namespace)))

  function shelf(kind: Kind, namespace: string | undefined): Shelf {
    const store = createStore({ log })
    store.subscribe((event) => take(event))
    return { store, kind, namespace, expectations: createExpectations({ cache: store, clock }) }
  }
  function take({ type, object, isInitial }: StoreEvent): void {
    const change = type === 'DELETED' ? catalogue.remove(object) : catalogue.put(object)
    options.onObject(object, change, isInitial)
  }
  const watches = shelves.map(({ kind, namespace, store }) =>
    watchObjects({ client, type: RESOURCE_TYPES[kind], sink: store, namespace, metrics, clock }, signal),
  )
  return {
    catalogue,
    synced: async (until) => {
      await Promise.all(shelves.map(({ store }) => store.synced(until)))
    },
    get hasSynced() {
      return shelves.every(({ store }) => store.hasSynced)
    },
    expectations: (kind, namespace) => {
      const found = shelves.find((each) => each.kind === kind && (each.namespace ?? namespace) === namespace)
      if (found === undefined) throw new Error(`nothing of namespace ${namespace} is watched`)
      return found.expectations
    },
    runtimes: () => shelves.flatMap(({ kind, store }) => (kind === 'AgentRuntime' ? store.list() : [])),
    counts: () => {
      const out: Record<string, number> = {}
      for (const { kind, store } of shelves) out[kind] = (out[kind] ?? 0) + store.size
      return out
    },
    ended: Promise.all(watches),
  }
}

const kinds = (): Kind[] => Object.keys(KINDS) as Kind[]
