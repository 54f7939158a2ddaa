import { type Clock, sleep, type Timer } from '../../clock.ts'
import {
  createStore,
  exponentialBackoff,
  hasReached,
  type KubeObject,
  keyOfName,
  type Store,
  type StoreEvent,
} from '../../kube/index.ts'
import type { Log } from '../../log.ts'
import { type FoundObject, foundObject, type ObjectView } from './view.ts'

/** What a shelf needs of one kind of object in one namespace. */
export interface ShelfSource {
  /** Fills the store with metadata until the signal aborts; never rejects. */
  watch(store: Store, signal: AbortSignal): Promise<void>
  /** The whole object; undefined when there is none. @throws anything, after which it is asked again */
  get(name: string, signal: AbortSignal): Promise<KubeObject | undefined>
  decode(object: KubeObject): ReadonlyMap<string, Buffer>
}

/** Something that may matter to somebody. */
export type ShelfChange =
  /** All names are known now. */
  | { readonly type: 'synced' }
  /** A wanted object is another one, or is found no more. */
  | { readonly type: 'data'; readonly name: string }
  /** An object with labels, wanted or not, came or went, or its labels changed: how it was and how it is. */
  | { readonly type: 'labels'; readonly old: KubeObject | undefined; readonly now: KubeObject | undefined }

export type ShelfOptions = {
  readonly source: ShelfSource
  readonly kind: string
  readonly namespace: string
  /** How long an object that was deleted goes on being found, in milliseconds. */
  readonly graceMs: number
  readonly clock: Clock
  readonly log: Pick<Log, 'warn' | 'error'>
  readonly random: () => number
  readonly onChange: (change: ShelfChange) => void
}

type Presence =
  /** It exists, or nobody has looked yet. */
  | { readonly type: 'expected' }
  /** Its data is kept for a while, as it may be about to come again. */
  | { readonly type: 'leaving'; readonly sinceMs: number; readonly timer: Timer }
  | { readonly type: 'gone'; readonly sinceMs?: number }

/** One wanted object. */
type Entry = { held: FoundObject | undefined; presence: Presence; readonly stop: AbortController; isFetching: boolean }

const RETRY = { baseMs: 100, maxMs: 30_000, jitter: 0.2 }

/** The metadata of all objects of one kind in one namespace, and the data of those that are wanted. */
export class Shelf {
  readonly #options: ShelfOptions
  readonly #signal: AbortSignal
  readonly #store: Store
  readonly #entries = new Map<string, Entry>()

  /** Watches until the signal aborts. */
  constructor(options: ShelfOptions, signal: AbortSignal) {
    this.#options = options
    this.#signal = signal
    this.#store = createStore({ log: options.log, transform: metadataOf })
    this.#store.subscribe((event) => this.#saw(event))
    this.#store.synced(signal).then(() => this.#begin(), ignore)
    signal.addEventListener('abort', () => this.want(new Set()), { once: true })
    void options.source.watch(this.#store, signal)
  }

  get hasSynced(): boolean {
    return this.#store.hasSynced
  }

  /** From now on these are wanted and no others: what is not wanted is forgotten. */
  want(names: ReadonlySet<string>): void {
    for (const [name, entry] of this.#entries) {
      if (names.has(name)) continue
      if (entry.presence.type === 'leaving') entry.presence.timer.cancel()
      entry.stop.abort(new Error('the object is not wanted any more'))
      this.#entries.delete(name)
    }
    for (const name of this.#signal.aborted ? [] : names) {
      if (this.#entries.has(name)) continue
      const entry: Entry = {
        held: undefined,
        presence: { type: 'expected' },
        stop: new AbortController(),
        isFetching: false,
      }
      this.#entries.set(name, entry)
      if (this.hasSynced) this.#look(name, entry)
    }
  }

  view(name: string): ObjectView {
    const entry = this.#entries.get(name)
    if (entry === undefined || !this.hasSynced) return { type: 'loading' }
    const { held, presence } = entry
    if (presence.type !== 'gone') return held === undefined ? { type: 'loading' } : { type: 'found', ...held }
    return presence.sinceMs === undefined ? { type: 'missing' } : { type: 'missing', sinceMs: presence.sinceMs }
  }

  /** Whether an object is still as it was at that version, or still not there, as far as the watch has shown. */
  stands(name: string, resourceVersion: string | undefined): boolean {
    if (resourceVersion === undefined) return this.#shown(name) === undefined
    if (!hasReached(this.#store.resourceVersion, resourceVersion)) return true
    return this.#shown(name)?.metadata.resourceVersion === resourceVersion
  }

  /** Names of the objects with these labels, oldest first; those that are leaving are still among them. */
  labelled(matchLabels: Readonly<Record<string, string>>): string[] {
    const { namespace } = this.#options
    const found = this.#store.list(namespace).map(({ metadata: { name, labels, creationTimestamp = '' } }) => {
      return { name, labels, creationTimestamp }
    })
    for (const [name, { held, presence }] of this.#entries) {
      if (presence.type === 'leaving' && held !== undefined) found.push({ name, ...held })
    }
    return found
      .filter(({ labels }) => Object.entries(matchLabels).every(([key, value]) => labels?.[key] === value))
      .sort((a, b) => compare(a.creationTimestamp, b.creationTimestamp) || compare(a.name, b.name))
      .map(({ name }) => name)
  }

  #begin(): void {
    for (const [name, entry] of this.#entries) this.#look(name, entry)
    this.#options.onChange({ type: 'synced' })
  }

  #saw({ type, object, old }: StoreEvent): void {
    if (!this.hasSynced) return
    const { name, labels = {} } = object.metadata
    const entry = this.#entries.get(name)
    if (entry !== undefined) this.#look(name, entry)
    // Whoever selects by labels has to look again.
    const isRelabelled = type !== 'MODIFIED' || JSON.stringify(labels) !== JSON.stringify(old?.metadata.labels ?? {})
    const hasLabels = Object.keys({ ...old?.metadata.labels, ...labels }).length > 0
    const now = type === 'DELETED' ? undefined : object
    if (isRelabelled && hasLabels) this.#options.onChange({ type: 'labels', old: now ? old : object, now })
    if (entry !== undefined && type === 'DELETED') this.#options.onChange({ type: 'data', name })
  }

  /** Compares what is held with what the watch shows. */
  #look(name: string, entry: Entry): void {
    const shown = this.#shown(name)
    if (shown === undefined) {
      this.#miss(name, entry)
      return
    }
    if (entry.presence.type === 'leaving') entry.presence.timer.cancel()
    entry.presence = { type: 'expected' }
    if (!entry.isFetching && isBehind(entry.held, shown)) void this.#fetch(name, entry)
  }

  #miss(name: string, entry: Entry): void {
    const { clock, graceMs, onChange } = this.#options
    if (entry.presence.type !== 'expected') return
    if (entry.held === undefined) {
      entry.presence = { type: 'gone' }
      return
    }
    const sinceMs = clock.now()
    const leave = () => {
      entry.held = undefined
      entry.presence = { type: 'gone', sinceMs }
    }
    if (graceMs === 0) {
      leave()
      return
    }
    const timer = clock.timer(graceMs, () => {
      leave()
      onChange({ type: 'data', name })
    })
    entry.presence = { type: 'leaving', sinceMs, timer }
  }

  /** Asks for the object until what is held is what the watch shows, or it is gone or not wanted any more. */
  async #fetch(name: string, entry: Entry): Promise<void> {
    const { clock, source } = this.#options
    const { signal } = entry.stop
    const backoff = exponentialBackoff({ ...RETRY, random: this.#options.random })
    entry.isFetching = true
    for (let failures = 0; !signal.aborted; ) {
      const shown = this.#shown(name)
      if (shown === undefined || !isBehind(entry.held, shown)) break
      if (failures > 0) await sleep(clock, backoff(failures - 1), signal).catch(ignore)
      const before = entry.held?.resourceVersion
      const object = await source.get(name, signal).catch((error: unknown) => this.#failed(name, error, signal))
      if (object !== undefined && !signal.aborted && !this.#isOver(object, entry)) this.#hold(entry, object)
      // An answer of before what the watch showed is no better than none.
      failures = entry.held?.resourceVersion === before ? failures + 1 : 0
    }
    entry.isFetching = false
  }

  /** What was deleted meanwhile must not be found again with what the answer still shows, nor for what came after it. */
  #isOver({ metadata: { name, uid, resourceVersion } }: KubeObject, { presence }: Entry): boolean {
    if (presence.type === 'gone') return true
    const shown = this.#shown(name)?.metadata
    return shown !== undefined && shown.uid !== uid && !hasReached(resourceVersion, shown.resourceVersion ?? '')
  }

  #hold(entry: Entry, object: KubeObject): void {
    entry.held = foundObject(object, this.#options.source.decode(object))
    this.#options.onChange({ type: 'data', name: object.metadata.name })
  }

  #failed(name: string, error: unknown, signal: AbortSignal): undefined {
    const { log, kind, namespace } = this.#options
    if (!signal.aborted) log.warn('an object could not be read', { kind, namespace, name, error })
  }

  #shown(name: string): KubeObject | undefined {
    return this.#store.get(keyOfName({ namespace: this.#options.namespace, name }))
  }
}

/** Whether the watch shows another object than the one held, or a newer version of it. */
function isBehind(held: FoundObject | undefined, { metadata: { uid, resourceVersion = '' } }: KubeObject): boolean {
  return held === undefined || held.uid !== uid || !hasReached(held.resourceVersion, resourceVersion)
}

/** What selection and comparison need; the annotations of ConfigMaps can be large. */
function metadataOf({ apiVersion, kind, metadata }: KubeObject): KubeObject {
  const { name, namespace, uid, resourceVersion, creationTimestamp, labels } = metadata
  const kept = { name, namespace, uid, resourceVersion, creationTimestamp, labels }
  // An absent field and one that is undefined are the same to whoever reads them.
  return { apiVersion, kind, metadata: kept as KubeObject['metadata'] }
}

const compare = (a: string, b: string): number => (a < b ? -1 : Number(a > b))

const ignore = () => undefined
