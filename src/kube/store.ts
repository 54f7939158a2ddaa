import type { Log } from '../log.ts'
import { compareResourceVersions, hasReached } from './resource-version.ts'
import { type KubeObject, keyOf, type ObjectKey, type ObjectSink } from './types.ts'

/** One change of a store. `old` is what was held before. */
export type StoreEvent = {
  readonly type: 'ADDED' | 'MODIFIED' | 'DELETED'
  readonly object: KubeObject
  readonly old?: KubeObject
  /** It belongs to the first list: it was there before anybody looked, and need not be news. */
  readonly isInitial: boolean
}

/** The objects of one kind as last seen: a read-only view of what a watcher fills. */
export interface ObjectCache {
  get(key: ObjectKey): KubeObject | undefined
  /** All objects, or those of one namespace, in no particular order. */
  list(namespace?: string): KubeObject[]
  /** The objects for which the index yields the value. The index must be one the store was made with. */
  by(index: string, value: string): KubeObject[]
  readonly size: number
  /** Whether the first list is complete. */
  readonly hasSynced: boolean
  /** Everything up to here has been seen; undefined before the first list or change. */
  readonly resourceVersion: string | undefined
  /** Resolves when the first list is complete; rejects with the signal's reason. */
  synced(signal: AbortSignal): Promise<void>
  /**
   * Calls back on every change, synchronously, when all of the store already shows it. A list's events come in its
   * order, deletions last. A listener that throws is logged; the others are called all the same.
   */
  subscribe(listener: (event: StoreEvent) => void): () => void
}

/**
 * Takes what a watcher tells: `upsert` ignores what is not newer than what is held under that name (a replay, also of an
 * earlier object of that name), `remove` ignores another uid than the one held; `replace` is the truth even when it is
 * older, as after a restored backup, and tells only of differences.
 */
export type Store = ObjectSink & ObjectCache

export type StoreOptions = {
  readonly log: Pick<Log, 'error'>
  /** By name: the values under which an object is found. An index that throws is logged and finds nothing. */
  readonly indexes?: Readonly<Record<string, (object: KubeObject) => readonly string[]>>
  /** What is kept of an object. Must keep its metadata's name, namespace, uid and resourceVersion. */
  readonly transform?: (object: KubeObject) => KubeObject
}

const LAST_APPLIED = 'kubectl.kubernetes.io/last-applied-configuration'

/** Drops what no reconciler reads and what is often half of an object: managedFields and kubectl's last-applied copy. */
function withoutBookkeeping(object: KubeObject): KubeObject {
  const { managedFields, annotations, ...metadata } = object.metadata
  if (annotations === undefined) return managedFields === undefined ? object : { ...object, metadata }
  const { [LAST_APPLIED]: lastApplied, ...kept } = annotations
  if (managedFields === undefined && lastApplied === undefined) return object
  return { ...object, metadata: { ...metadata, annotations: kept } }
}

export function createStore(options: StoreOptions): Store {
  return new IndexedStore(options)
}

class IndexedStore implements Store {
  readonly #log: StoreOptions['log']
  readonly #transform: (object: KubeObject) => KubeObject
  readonly #objects = new Map<ObjectKey, KubeObject>()
  readonly #namespaces: Index
  readonly #indexes: ReadonlyMap<string, Index>
  readonly #listeners = new Set<(event: StoreEvent) => void>()
  readonly #synced = Promise.withResolvers<void>()
  #hasSynced = false
  #resourceVersion: string | undefined

  constructor({ log, indexes = {}, transform = withoutBookkeeping }: StoreOptions) {
    this.#log = log
    this.#transform = transform
    this.#namespaces = new Index(({ metadata }) => [metadata.namespace ?? ''])
    this.#indexes = new Map(
      Object.entries(indexes).map(([name, valuesOf]) => [name, new Index(this.#guarded(name, valuesOf))]),
    )
  }

  get(key: ObjectKey): KubeObject | undefined {
    return this.#objects.get(key)
  }

  list(namespace?: string): KubeObject[] {
    return namespace === undefined ? [...this.#objects.values()] : this.#namespaces.at(namespace)
  }

  by(index: string, value: string): KubeObject[] {
    const found = this.#indexes.get(index)
    if (found === undefined) throw new Error(`the store has no index ${index}`)
    return found.at(value)
  }

  get size(): number {
    return this.#objects.size
  }

  get hasSynced(): boolean {
    return this.#hasSynced
  }

  get resourceVersion(): string | undefined {
    return this.#resourceVersion
  }

  synced(signal: AbortSignal): Promise<void> {
    if (this.#hasSynced) return Promise.resolve()
    return new Promise((resolve, reject) => {
      const onAbort = () => reject(signal.reason)
      if (signal.aborted) return onAbort()
      signal.addEventListener('abort', onAbort, { once: true })
      void this.#synced.promise.then(() => {
        signal.removeEventListener('abort', onAbort)
        resolve()
      })
    })
  }

  subscribe(listener: (event: StoreEvent) => void): () => void {
    const entry = (event: StoreEvent) => listener(event)
    this.#listeners.add(entry)
    return () => void this.#listeners.delete(entry)
  }

  replace(objects: readonly KubeObject[], resourceVersion: string): void {
    const isInitial = !this.#hasSynced
    const gone = new Set(this.#objects.keys())
    const events: StoreEvent[] = []
    for (const listed of objects) {
      const key = keyOf(listed)
      gone.delete(key)
      const old = this.#objects.get(key)
      if (old === undefined || !isSameVersion(old, listed)) events.push(...this.#put(key, listed, isInitial))
    }
    for (const key of gone) events.push(...this.#drop(key, isInitial))
    this.#resourceVersion = resourceVersion
    for (const event of events) this.#tell(event)
    this.#hasSynced = true
    this.#synced.resolve()
  }

  upsert(object: KubeObject): void {
    const key = keyOf(object)
    const old = this.#objects.get(key)
    if (old !== undefined && isReplay(old, object)) return
    const events = this.#put(key, object, !this.#hasSynced)
    this.#saw(object)
    for (const event of events) this.#tell(event)
  }

  remove(object: KubeObject): void {
    const key = keyOf(object)
    const old = this.#objects.get(key)
    this.#saw(object)
    if (old === undefined || old.metadata.uid !== object.metadata.uid) return
    for (const event of this.#drop(key, !this.#hasSynced, this.#transform(object))) this.#tell(event)
  }

  #saw({ metadata: { resourceVersion } }: KubeObject): void {
    if (resourceVersion !== undefined && !hasReached(this.#resourceVersion, resourceVersion)) {
      this.#resourceVersion = resourceVersion
    }
  }

  /** Another uid under the same name is another object: the old one went unseen. */
  #put(key: ObjectKey, arrived: KubeObject, isInitial: boolean): StoreEvent[] {
    const object = this.#transform(arrived)
    const old = this.#objects.get(key)
    this.#objects.set(key, object)
    for (const index of this.#allIndexes()) index.put(key, object)
    if (old === undefined) return [{ type: 'ADDED', object, isInitial }]
    if (old.metadata.uid === object.metadata.uid) return [{ type: 'MODIFIED', object, old, isInitial }]
    return [
      { type: 'DELETED', object: old, old, isInitial },
      { type: 'ADDED', object, isInitial },
    ]
  }

  #drop(key: ObjectKey, isInitial: boolean, last?: KubeObject): StoreEvent[] {
    const old = this.#objects.get(key)
    if (old === undefined) return []
    this.#objects.delete(key)
    for (const index of this.#allIndexes()) index.drop(key)
    return [{ type: 'DELETED', object: last ?? old, old, isInitial }]
  }

  #allIndexes(): Index[] {
    return [this.#namespaces, ...this.#indexes.values()]
  }

  #tell(event: StoreEvent): void {
    for (const listener of [...this.#listeners]) {
      try {
        listener(event)
      } catch (error) {
        this.#log.error('a listener of a store failed', { key: keyOf(event.object), error })
      }
    }
  }

  #guarded(name: string, valuesOf: (object: KubeObject) => readonly string[]): Index['valuesOf'] {
    return (object) => {
      try {
        return valuesOf(object)
      } catch (error) {
        this.#log.error('an index of a store failed', { index: name, key: keyOf(object), error })
        return []
      }
    }
  }
}

const isSameVersion = (a: KubeObject, b: KubeObject): boolean =>
  a.metadata.uid === b.metadata.uid &&
  a.metadata.resourceVersion !== undefined &&
  a.metadata.resourceVersion === b.metadata.resourceVersion

function isReplay(held: KubeObject, arrived: KubeObject): boolean {
  const [known, version] = [held.metadata.resourceVersion, arrived.metadata.resourceVersion]
  if (known === undefined || version === undefined) return false
  const order = compareResourceVersions(version, known)
  return order !== undefined && order <= 0
}

class Index {
  readonly valuesOf: (object: KubeObject) => readonly string[]
  readonly #byValue = new Map<string, Map<ObjectKey, KubeObject>>()
  readonly #values = new Map<ObjectKey, readonly string[]>()

  constructor(valuesOf: (object: KubeObject) => readonly string[]) {
    this.valuesOf = valuesOf
  }

  at(value: string): KubeObject[] {
    return [...(this.#byValue.get(value)?.values() ?? [])]
  }

  put(key: ObjectKey, object: KubeObject): void {
    this.drop(key)
    const values = this.valuesOf(object)
    this.#values.set(key, values)
    for (const value of values) {
      const objects = this.#byValue.get(value)
      if (objects === undefined) this.#byValue.set(value, new Map([[key, object]]))
      else objects.set(key, object)
    }
  }

  drop(key: ObjectKey): void {
    for (const value of this.#values.get(key) ?? []) {
      const objects = this.#byValue.get(value)
      objects?.delete(key)
      if (objects?.size === 0) this.#byValue.delete(value)
    }
    this.#values.delete(key)
  }
}
