import { randomUUID } from 'node:crypto'
import {
  type ApplyRequest,
  type ApplyResponse,
  type BundleFiles,
  type Definition,
  type ItemResult,
  type Owner,
  PROTOCOL,
  type Problem,
  type RunnablePlural,
  type RuntimeEvent,
  type RuntimeState,
  SETTINGS_ID,
} from '../../api/index.ts'
import { BundleArrivals, heldBackTrials } from './arrivals/bundle-arrivals.ts'
import { defaultSettings, ItemArrivals, type Secrets, type Work, withSecrets } from './arrivals/item-arrivals.ts'
import type { ModelLoader } from './arrivals/load-models.ts'
import type { BundleLoader } from './arrivals/prepare.ts'
import { Tickets } from './arrivals/tickets.ts'
import { Chronicle } from './chronicle.ts'
import { type Arrival, arrivalId, disposeUnit, RegistryCore } from './core.ts'
import { createDynamicItems } from './dynamic.ts'
import { EventLog } from './event-log.ts'
import { admit, type Guard, released } from './plan/guard.ts'
import { bundleNameOf, bundleUnitId } from './plan/served.ts'
import { itemStateOf } from './plan/states.ts'
import type { DynamicItems, Management, MountedBundles, Pinned, SnapshotSource } from './port.ts'
import { itemAt, type Snapshot } from './snapshot.ts'
import { RunStats } from './stats.ts'

/** Where an arrival came from, for metrics. */
export type ArrivalSource = 'push' | 'mount' | 'api'

/** How long an arrival took, in milliseconds: to load its parts aside, and to resolve and swap. */
export type ArrivalTiming = { readonly loadMs: number; readonly swapMs: number }

/** Told of everything that settles; never throws. */
export interface RegistryObserver {
  settled(id: string, source: ArrivalSource, result: ItemResult, timing: ArrivalTiming): void
  /** Another snapshot serves. */
  swapped(snapshot: Snapshot): void
}

export type RegistryOptions = {
  readonly loadModel: ModelLoader
  readonly loadBundle: BundleLoader
  /** Names of mounted bundles in the order in which a tool name is looked up. */
  readonly mounts?: readonly string[]
  /**
   * Which mounts may serve: all of them, which is the default, or only those that the settings name as bundles which do
   * not come by the push alone.
   */
  readonly mountsTaken?: 'all' | 'named'
  readonly observer?: RegistryObserver
  readonly bootId?: string
  /** UID of the pod that this process runs in, told in its state. */
  readonly podUid?: string | undefined
  /** Milliseconds on a monotonic clock. */
  readonly now?: () => number
}

/**
 * What one runtime serves. Every way in (management protocol, mounted directories, AgentOS's dynamic calls) prepares
 * its arrivals aside and commits them to the one core; a later arrival for an id always beats an earlier one, even
 * when the earlier took longer to load.
 */
export class Registry implements SnapshotSource, Management, DynamicItems, MountedBundles {
  readonly bootId: string
  /** Settled once everything that was declared is here for the first time. */
  readonly whole: Promise<void>
  readonly #becomesWhole: () => void
  readonly #options: RegistryOptions
  readonly #events: EventLog
  readonly #core: RegistryCore
  readonly #chronicle: Chronicle
  readonly #items: ItemArrivals
  readonly #bundles: BundleArrivals
  readonly #dynamic: DynamicItems
  readonly #stats = new RunStats()
  readonly #now: () => number
  #secrets: Secrets = new Map()
  readonly #tickets = new Tickets()
  /** When the first run ended that no `stats` event has told of yet. */
  #untoldSince: number | undefined
  #guard: Omit<Guard, 'snapshot'>
  /** `expected`: items that the last whole sync named, not all of which are here. */
  #sync: { readonly type: 'incomplete'; readonly expected?: number } | { readonly type: 'complete' } = {
    type: 'incomplete',
  }

  constructor(options: RegistryOptions) {
    this.bootId = options.bootId ?? randomUUID()
    const { promise, resolve } = Promise.withResolvers<void>()
    this.whole = promise
    this.#becomesWhole = resolve
    this.#options = options
    this.#now = options.now ?? (() => performance.now())
    this.#guard = { bootId: this.bootId, fence: 0 }
    const defaults = defaultSettings()
    this.#core = new RegistryCore({ bootId: this.bootId, settings: defaults, mounts: options.mounts ?? [] })
    this.#items = new ItemArrivals({ core: this.#core, defaults, loadModel: options.loadModel })
    this.#bundles = new BundleArrivals({
      load: options.loadBundle,
      unit: (id) => this.#core.unit(id),
      isTaken: (name) => this.#isTaken(name),
      now: this.#now,
    })
    this.#events = new EventLog(this.bootId)
    const settings = itemStateOf(this.current.settings, undefined)
    this.#chronicle = new Chronicle(this.#events, new Map(settings && [[SETTINGS_ID, settings]]))
    this.#dynamic = createDynamicItems({
      ownerOf: (id) => this.#items.ownerOf(id),
      check: (arrival) => this.#core.check([arrival]).get(arrivalId(arrival)) ?? { outcome: 'unchanged' },
      commit: (arrival) => this.#commitNow('api', arrival, this.#now()),
    })
  }

  get current(): Snapshot {
    return this.#core.snapshot
  }

  get bundleVersionsAlive(): number {
    return this.#core.bundleVersionsAlive
  }

  get complete(): boolean {
    return this.#sync.type === 'complete'
  }

  pin(): Pinned {
    return this.#core.pin()
  }

  recordRun(digest: string, failed: boolean): void {
    this.#stats.record(digest, failed)
    this.#untoldSince ??= this.#now()
  }

  events(signal: AbortSignal, lastEventId?: string): AsyncIterable<RuntimeEvent> {
    return this.#events.read(signal, lastEventId)
  }

  state(): RuntimeState {
    const { claimedBy, fence } = this.#guard
    const { podUid } = this.#options
    return {
      protocol: PROTOCOL,
      bootId: this.bootId,
      ...(podUid !== undefined && { podUid }),
      ...(claimedBy !== undefined && { claimedBy }),
      fence,
      snapshot: this.current.id,
      lastEventId: this.#events.lastId,
      complete: this.complete,
      items: Object.fromEntries(this.#chronicle.items),
      bundles: Object.fromEntries(this.#chronicle.bundles),
      secrets: Object.fromEntries([...this.#secrets].map(([id, { version }]) => [id, version])),
      pins: Object.fromEntries(this.#bundles.pins),
      tools: [...this.current.tools.keys()].filter((name) => name.includes('/')).sort(),
      stats: this.#stats.all(),
    }
  }

  async apply(request: ApplyRequest): Promise<ApplyResponse> {
    const { snapshot: _, ...guard } = admit({ ...this.#guard, snapshot: this.current.id }, request)
    this.#guard = guard
    const results = request.mode === 'check' ? await this.#tryOut(request) : await this.#takeIn(request)
    const { complete } = this
    return { snapshot: this.current.id, lastEventId: this.#events.lastId, complete, ...splitResults(results) }
  }

  async offer(bundle: BundleFiles): Promise<ItemResult> {
    const id = bundleUnitId(bundle.name)
    const result = await this.#takeOne('mount', id, () => this.#bundles.mounted(bundle, this.#items.packages))
    return this.#bundles.heldBack(bundle.name, bundle.hash) ?? result
  }

  /** Does what time alone has decided: a mount that turned out to be news, statistics to tell. To be called every second. */
  async tick(): Promise<void> {
    if (this.#untoldSince !== undefined && this.#now() - this.#untoldSince >= STATS_MS) {
      this.#untoldSince = undefined
      this.#events.append({ type: 'stats', stats: this.#stats.all() })
    }
    await this.#take('mount', this.#bundlesAgain(this.#bundles.due()))
  }

  refuse(name: string, error: Problem): ItemResult {
    if (!this.#isTaken(name)) return { outcome: 'unchanged' }
    const started = this.#now()
    return this.#commitNow('mount', { type: 'refused', id: bundleUnitId(name), error }, started)
  }

  async withdraw(name: string): Promise<ItemResult> {
    const id = bundleUnitId(name)
    const result = await this.#takeOne('mount', id, () => this.#bundles.unmounted(name, this.#items.packages))
    return this.#bundles.heldBack(name, undefined) ?? result
  }

  add(definition: Definition): Promise<ItemResult> {
    return this.#dynamic.add(definition)
  }

  remove(kind: RunnablePlural, name: string): Promise<ItemResult> {
    return this.#dynamic.remove(kind, name)
  }

  ownerOf(kind: RunnablePlural, name: string): Owner | undefined {
    return this.#dynamic.ownerOf(kind, name)
  }

  #isTaken(mount: string): boolean {
    if (this.#options.mountsTaken !== 'named') return true
    const { bundles } = this.current.settings.definition.spec
    return bundles.some(({ name, pushedOnly }) => name === mount && pushedOnly === undefined)
  }

  /** What would become of a call; changes nothing. */
  async #tryOut(request: ApplyRequest): Promise<Map<string, ItemResult>> {
    const packages = this.#items.packagesOf(request)
    const pins = request.pins ?? Object.fromEntries(this.#bundles.pins)
    const pushes = Object.entries(request.bundles)
    const removals = request.remove.bundles.map((name): Arrival => ({ type: 'remove', id: bundleUnitId(name) }))
    const arrivals = await Promise.all([
      ...this.#items.of(request, withSecrets(this.#secrets, request)).map(([, prepare]) => prepare()),
      ...pushes.map(([name, push]) => this.#bundles.tried(name, push, packages)),
      ...removals,
    ])
    const held = heldBackTrials(pins, [
      ...pushes.map(([name, { hash }]) => [name, hash] as const),
      ...request.remove.bundles.map((name) => [name, undefined] as const),
    ])
    return this.#core.check(
      arrivals.map((arrival) => this.#items.allowed(arrival)),
      held,
    )
  }

  async #takeIn(request: ApplyRequest): Promise<Map<string, ItemResult>> {
    this.#bundles.operatorCalled()
    this.#secrets = withSecrets(this.#secrets, request)
    const repinned = request.pins === undefined ? [] : this.#bundles.pin(request.pins)
    const packages = this.#items.packagesOf(request)
    const results = await this.#take('push', [
      ...this.#items.of(request, this.#secrets),
      ...this.#bundlesAgain(repinned.filter((name) => !Object.hasOwn(request.bundles, name))),
      ...Object.entries(request.bundles).map(
        ([name, push]) => [bundleUnitId(name), () => this.#bundles.pushed(name, push, packages)] as const,
      ),
      ...request.remove.bundles.map(
        (name) => [bundleUnitId(name), () => this.#bundles.forgotten(name, packages)] as const,
      ),
    ])
    for (const [name, { hash }] of Object.entries(request.bundles)) this.#tellHeldBack(results, name, hash)
    for (const name of request.remove.bundles) this.#tellHeldBack(results, name, undefined)
    this.#settleSync(request.complete?.expected)
    if (request.release) this.#guard = released(this.#guard, request.claim)
    return results
  }

  #tellHeldBack(results: Map<string, ItemResult>, name: string, hash: string | undefined): void {
    const held = this.#bundles.heldBack(name, hash)
    if (held && results.get(bundleUnitId(name))?.outcome !== 'rejected') results.set(bundleUnitId(name), held)
  }

  /** @param named items that a sync which just ended has named */
  #settleSync(named: number | undefined): void {
    const expected = named ?? (this.#sync.type === 'incomplete' ? this.#sync.expected : undefined)
    if (expected === undefined) return
    const isHere = this.#declaredCount() >= expected
    this.#sync = isHere ? { type: 'complete' } : { type: 'incomplete', expected }
    if (isHere) this.#becomesWhole()
  }

  #declaredCount(): number {
    const declared = [...this.#chronicle.items.values()].filter(({ owner }) => owner !== 'api').length
    return this.#items.hasDefaultSettings ? declared - 1 : declared
  }

  async #takeOne(source: ArrivalSource, id: string, prepare: () => Arrival | Promise<Arrival>): Promise<ItemResult> {
    const results = await this.#take(source, [[id, prepare]])
    return results.get(id) ?? { outcome: 'unchanged' }
  }

  /** Prepares arrivals side by side and commits those that are still the newest of their id, all in one swap. */
  async #take(source: ArrivalSource, work: Work): Promise<Map<string, ItemResult>> {
    if (work.length === 0) return new Map()
    const started = this.#now()
    const { settings } = this.current
    const prepared = await Promise.all(
      work.map(async ([id, prepare]) => {
        const ticket = this.#tickets.take(id)
        const serving = this.#core.unit(id)
        return { id, ticket, serving, arrival: await prepare() }
      }),
    )
    const loaded = this.#now()
    const newest = prepared.filter(({ id, ticket, serving, arrival }) => {
      const isNewest = this.#tickets.redeem(id, ticket)
      // What served already was not loaded for this, and may be in use.
      if (!isNewest && arrival.type === 'put' && arrival.unit !== serving) disposeUnit(arrival.unit)
      return isNewest
    })
    const ids = prepared.map(({ id }) => id)
    const results = this.#commit(
      newest.map(({ arrival }) => arrival),
      ids,
    )
    for (const id of ids) if (!results.has(id)) results.set(id, SUPERSEDED)
    const timing = { loadMs: loaded - started, swapMs: this.#now() - loaded }
    for (const [id, result] of results) this.#options.observer?.settled(id, source, result, timing)
    await this.#take('push', this.#bundles.outdated(this.#items.packages))
    // Other settings may name other mounts.
    if (this.current.settings !== settings) await this.#take('mount', this.#bundlesAgain(this.#bundles.due()))
    return results
  }

  #commitNow(source: ArrivalSource, arrival: Arrival, started: number): ItemResult {
    const id = arrivalId(arrival)
    this.#tickets.revoke(id)
    const result = this.#commit([arrival], [id]).get(id) ?? { outcome: 'unchanged' }
    this.#options.observer?.settled(id, source, result, { loadMs: 0, swapMs: this.#now() - started })
    return result
  }

  /** @param ids whose state may have changed although nothing was committed for them */
  #commit(arrivals: readonly Arrival[], ids: readonly string[]): Map<string, ItemResult> {
    const before = this.current
    const { results, touched } = this.#core.commit(arrivals.map((arrival) => this.#items.allowed(arrival)))
    for (const id of new Set([...touched, ...ids])) this.#tell(id)
    if (this.current !== before) this.#options.observer?.swapped(this.current)
    return results
  }

  #tell(id: string): void {
    const record = this.#core.candidates.get(id)
    const bundle = bundleNameOf(id)
    if (bundle === undefined) this.#chronicle.item(id, itemStateOf(itemAt(this.current, id), record))
    else this.#chronicle.bundle(bundle, this.#bundles.state(bundle, record))
  }

  #bundlesAgain(names: readonly string[]): Work {
    return names.map((name) => [bundleUnitId(name), () => this.#bundles.current(name, this.#items.packages)] as const)
  }
}

/** Shortest time between two `stats` events. */
const STATS_MS = 5_000

const SUPERSEDED: ItemResult = {
  outcome: 'pending',
  error: { reason: 'Superseded', message: 'a newer version arrived while this one was being loaded' },
}

function splitResults(results: ReadonlyMap<string, ItemResult>): Pick<ApplyResponse, 'items' | 'bundles'> {
  const all = [...results]
  return {
    items: Object.fromEntries(all.filter(([id]) => bundleNameOf(id) === undefined)),
    bundles: Object.fromEntries(
      all.flatMap(([id, result]) => {
        const name = bundleNameOf(id)
        return name === undefined ? [] : [[name, result]]
      }),
    ),
  }
}
