import { bundleHash, type Kind } from '../../../api/index.ts'
import {
  ApiError,
  createStore,
  type KubeObject,
  keyOfName,
  nameOfKey,
  type ObjectKey,
  type ResourceType,
  type Store,
  type WatchClient,
  type WatchState,
  watchObjects,
} from '../../../kube/index.ts'
// Not by way of the index: reading a ConfigMap does not need what an operator is.
import { configMapFiles } from '../../../operator/dependents/config-map.ts'
import { EVENTS } from '../events.ts'
import { CONFIG_MAPS, explain, KIND_NAMES, typeOf } from '../objects.ts'
import { bundlesOf, type Contents, type Seen } from './report.ts'

/** The four kinds, and the ConfigMaps that their bundles name, as they are now. */
export interface Sight {
  /** Resolves when everything is known. @throws FailureError when it cannot be read */
  synced(): Promise<void>
  readonly seen: Seen
  /** Calls back after every change of what is seen. */
  subscribe(listener: () => void): void
}

export type SightOptions = {
  readonly client: WatchClient
  /** All namespaces when absent. */
  readonly namespace: string | undefined
  /** Told once when what was read cannot be read any more, and when it can again. */
  readonly onTrouble: (message: string | undefined) => void
}

const log = { error: () => undefined }

export function createSight(options: SightOptions, signal: AbortSignal): Sight {
  const { client, namespace, onTrouble } = options
  const listeners = new Set<() => void>()
  const changed = () => {
    for (const listener of listeners) listener()
  }
  const configMaps = followConfigMaps(client, changed, signal)
  const failed = Promise.withResolvers<never>()
  failed.promise.catch(() => undefined)

  const stores = new Map<Kind, Store>()
  for (const kind of KIND_NAMES) {
    const store = createStore({ log })
    store.subscribe(({ object }) => {
      if (object.kind === 'AgentRuntime') configMaps.want(namedIn(store.list()))
      changed()
    })
    stores.set(kind, store)
    const type = typeOf(kind)
    const onState = troubleOf({ type, store, fail: failed.reject, onTrouble })
    void watchObjects({ client, type, sink: store, namespace, onState }, signal)
  }
  const events = followEvents({ client, namespace }, changed, signal)
  const objectsOf = (kind: Kind): readonly KubeObject[] => stores.get(kind)?.list() ?? []

  return {
    synced: async () => {
      const all = Promise.all([...stores.values()].map((store) => store.synced(signal)))
      await Promise.race([all, failed.promise])
      await configMaps.synced(signal)
      await events.known
    },
    get seen() {
      return {
        objects: {
          AgentRuntime: objectsOf('AgentRuntime'),
          Agent: objectsOf('Agent'),
          Team: objectsOf('Team'),
          Workflow: objectsOf('Workflow'),
        },
        contents: configMaps.contents,
        events: events.store.list(),
      }
    },
    subscribe: (listener) => void listeners.add(listener),
  }
}

type Trouble = Pick<SightOptions, 'onTrouble'> & {
  readonly type: ResourceType
  readonly store: Store
  readonly fail: (error: Error) => void
}

/** What cannot be read at the start is a failure; what could be read once is waited for. */
function troubleOf({ type, store, fail, onTrouble }: Trouble): (state: WatchState) => void {
  let isTold = false
  return (state) => {
    if (state.type === 'watching' && isTold) {
      isTold = false
      onTrouble(undefined)
    }
    if (state.type !== 'backingOff') return
    const { failure } = state
    if (!store.hasSynced) fail(explain({ code: CODES[failure.type] ?? 0, message: failure.message }, type))
    else if (!isTold && failure.type !== 'closed') {
      isTold = true
      onTrouble(`${type.plural}: ${failure.message}; trying again`)
    }
  }
}

const CODES: Readonly<Record<string, number>> = { forbidden: 403, absent: 404 }

/** Events about AgentRuntimes; none, where they may not be read. */
function followEvents(
  { client, namespace }: Pick<SightOptions, 'client' | 'namespace'>,
  changed: () => void,
  signal: AbortSignal,
): { readonly store: Store; readonly known: Promise<void> } {
  const known = Promise.withResolvers<void>()
  const store = createStore({ log })
  store.subscribe(changed)
  const onState = ({ type }: WatchState) => {
    if (type === 'backingOff') known.resolve()
  }
  const fieldSelector = 'regarding.kind=AgentRuntime'
  void watchObjects({ client, type: EVENTS, sink: store, namespace, fieldSelector, onState }, signal)
  store.synced(signal).then(known.resolve, known.resolve)
  return { store, known: known.promise }
}

/** Keys of the ConfigMaps that AgentRuntimes name. */
const namedIn = (runtimes: readonly KubeObject[]): ReadonlySet<ObjectKey> =>
  new Set(
    runtimes.flatMap((runtime) =>
      bundlesOf(runtime).map(({ configMap }) => keyOfName({ namespace: runtime.metadata.namespace, name: configMap })),
    ),
  )

type Followed = {
  readonly store: Store
  readonly stop: AbortController
  /** Resolves when it is known, or known to be unreadable. */
  readonly known: Promise<void>
}

/** Each ConfigMap is watched by its name, so that no other has to be readable; of its files only the hash is kept. */
function followConfigMaps(client: WatchClient, changed: () => void, signal: AbortSignal) {
  const followed = new Map<ObjectKey, Followed>()

  const follow = (key: ObjectKey): Followed => {
    const { namespace, name } = nameOfKey(key)
    const stop = new AbortController()
    const known = Promise.withResolvers<void>()
    const store = createStore({ log, transform: withHash })
    store.subscribe(changed)
    const lifetime = AbortSignal.any([signal, stop.signal])
    const onState = ({ type }: WatchState) => {
      if (type === 'backingOff') known.resolve()
    }
    const fieldSelector = `metadata.name=${name}`
    void watchObjects({ client, type: CONFIG_MAPS, sink: store, namespace, fieldSelector, onState }, lifetime)
    store.synced(lifetime).then(() => {
      known.resolve()
      changed()
    }, known.resolve)
    return { store, stop, known: known.promise }
  }

  return {
    want(keys: ReadonlySet<ObjectKey>): void {
      for (const [key, { stop }] of followed) {
        if (keys.has(key)) continue
        stop.abort(new ApiError({ code: 0, reason: 'Unwanted', message: 'no bundle names it any more' }))
        followed.delete(key)
      }
      for (const key of keys) if (!followed.has(key)) followed.set(key, follow(key))
    },
    contents(key: ObjectKey): Contents {
      const { store } = followed.get(key) ?? {}
      if (!store?.hasSynced) return { type: 'unknown' }
      const hash = store.get(key)?.hash
      return typeof hash === 'string' ? { type: 'found', hash } : { type: 'missing' }
    },
    async synced(until: AbortSignal): Promise<void> {
      await Promise.all([...followed.values()].map(({ known }) => known))
      until.throwIfAborted()
    },
  }
}

const withHash = (object: KubeObject): KubeObject => {
  const { apiVersion, kind, metadata } = object
  const { name, namespace, uid, resourceVersion } = metadata
  const kept = {
    name,
    ...(namespace === undefined ? {} : { namespace }),
    ...(uid === undefined ? {} : { uid }),
    ...(resourceVersion === undefined ? {} : { resourceVersion }),
  }
  return { apiVersion, kind, metadata: kept, hash: bundleHash(configMapFiles(object)) }
}
