import { randomUUID } from 'node:crypto'
import {
  type ApplyRequest,
  type ApplyResponse,
  type BundleFiles,
  type Definition,
  type Incident,
  type ItemResult,
  type Owner,
  PROTOCOL,
  type Problem,
  ProblemError,
  type RunnablePlural,
  type RuntimeEvent,
  type RuntimeState,
  SETTINGS_ID,
  type SecretKeyRef,
  secretId,
} from '../../api/index.ts'
import type { LoadedBundle } from '../files/loaded.ts'
import { BundleArrivals, heldBackTrials } from './arrivals/bundle-arrivals.ts'
import { askedBundles, splitResults } from './arrivals/call.ts'
import { Completeness } from './arrivals/completeness.ts'
import { GoodVersions, KEPT_VERSIONS } from './arrivals/good-versions.ts'
import { defaultSettings, ItemArrivals, type Secrets, type Work, withSecrets } from './arrivals/item-arrivals.ts'
import { type Prelude, Preparations, type Taking } from './arrivals/preparations.ts'
import type { LoadWith } from './arrivals/prepare.ts'
import { createBundleControl } from './bundle-control.ts'
import { Chronicle } from './chronicle.ts'
import { type Arrival, arrivalId, RegistryCore } from './core.ts'
import { createDynamicItems } from './dynamic.ts'
import { EventLog } from './event-log.ts'
import { type ArrivalSource, changedBundles, type Failed, type Noticed, settlementsOf } from './observer.ts'
import { extensionPaths } from './plan/extensions.ts'
import { admit, type Guard, released, SUPERSEDED, staleFence } from './plan/guard.ts'
import { bundleNameOf, bundleUnitId } from './plan/served.ts'
import { itemStateOf } from './plan/states.ts'
import type {
  BundleControl,
  DynamicItems,
  Management,
  MountedBundles,
  Pinned,
  RegistryOptions,
  Rollback,
  SnapshotSource,
} from './port.ts'
import { BundleProbation } from './probation/bundle-probation.ts'
import { itemAt, type Snapshot } from './snapshot.ts'
import { RunStats } from './stats.ts'

/**
 * What one runtime serves. Every way in (management protocol, mounted directories, AgentOS's dynamic calls) prepares
 * its arrivals aside and commits them to the one core; a later arrival for an id always beats an earlier one, even
 * when the earlier took longer to load.
 */
export class Registry implements SnapshotSource, Management, DynamicItems, MountedBundles, BundleControl {
  readonly bootId: string
  readonly #options: RegistryOptions
  readonly #events: EventLog
  readonly #core: RegistryCore
  readonly #chronicle: Chronicle
  readonly #items: ItemArrivals
  readonly #bundles: BundleArrivals
  readonly #dynamic: DynamicItems
  readonly #good: GoodVersions
  readonly #control: BundleControl
  readonly #probation: BundleProbation
  readonly #stats = new RunStats()
  readonly #now: () => number
  #secrets: Secrets = new Map()
  readonly #completeness = new Completeness()
  readonly #preparations: Preparations
  #guard: Omit<Guard, 'snapshot'>

  constructor(options: RegistryOptions) {
    this.bootId = options.bootId ?? randomUUID()
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
    this.#preparations = new Preparations({
      unit: (id) => this.#core.unit(id),
      again: (name) => this.#bundles.current(name, this.#using()),
    })
    this.#events = new EventLog(this.bootId)
    const settings = itemStateOf(this.current.settings, undefined)
    this.#chronicle = new Chronicle(this.#events, new Map(settings && [[SETTINGS_ID, settings]]))
    this.#dynamic = createDynamicItems({
      ownerOf: (id) => this.#items.ownerOf(id),
      check: (arrival) => this.#core.check([arrival]).get(arrivalId(arrival)) ?? { outcome: 'unchanged' },
      commit: (arrival) => this.#commitNow('api', arrival, this.#now()),
    })
    const { bundleOwner: owner = 'dev' } = options
    this.#good = new GoodVersions(owner === 'operator' ? 0 : KEPT_VERSIONS)
    const bundles = {
      bundles: this.#bundles,
      good: this.#good,
      serving: (name: string) => this.current.bundles.get(name)?.hash,
      again: (name: string, how: Taking) =>
        this.#takeOne(bundleUnitId(name), () => this.#bundles.current(name, this.#using()), how),
    }
    const names = () => this.#chronicle.bundles.keys()
    const candidate = (name: string) => this.#core.candidates.get(bundleUnitId(name))
    this.#control = createBundleControl({ ...bundles, owner, names, candidate })
    const spec = () => this.current.settings.definition.spec.tools.probation ?? options.probation
    const failed = (what: Failed) => options.observer?.failed(what)
    this.#probation = new BundleProbation({ ...bundles, spec, now: this.#now, failed })
  }

  get current(): Snapshot {
    return this.#core.snapshot
  }

  get bundleVersionsAlive(): number {
    return this.#core.bundleVersionsAlive
  }

  /** Settled once everything that was declared is here for the first time. */
  get whole(): Promise<void> {
    return this.#completeness.whole
  }

  /** The value of a Secret's key as it was pushed last; undefined when there is none. */
  secretOf(ref: SecretKeyRef): string | undefined {
    return this.#secrets.get(secretId(ref))?.value
  }

  get complete(): boolean {
    return this.#completeness.isComplete
  }

  pin(): Pinned {
    return this.#core.pin()
  }

  recordRun(digest: string, failed: boolean): void {
    this.#stats.record(digest, failed, this.#now())
  }

  events(signal: AbortSignal, lastEventId?: string): AsyncIterable<RuntimeEvent> {
    return this.#events.read(signal, lastEventId)
  }

  /** Tells it to who reads the events. */
  tell(incident: Incident): void {
    this.#events.append({ type: 'incident', ...incident })
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
      ...extensionPaths(this.current),
      stats: this.#stats.all(),
    }
  }

  async apply(request: ApplyRequest): Promise<ApplyResponse> {
    const { snapshot: _, ...guard } = admit({ ...this.#guard, snapshot: this.current.id }, request)
    if (guard.fence > this.#guard.fence) this.#bundles.takeBackCalls()
    this.#guard = guard
    const results = request.mode === 'check' ? await this.#tryOut(request) : await this.#takeIn(request)
    const { complete } = this
    return { snapshot: this.current.id, lastEventId: this.#events.lastId, complete, ...splitResults(results) }
  }

  async offer(bundle: BundleFiles, noticed?: Noticed): Promise<ItemResult> {
    const id = bundleUnitId(bundle.name)
    const how = { source: 'mount', noticed } as const
    const result = await this.#takeOne(id, () => this.#bundles.mounted(bundle, this.#using()), how)
    return this.#bundles.heldBack(bundle.name, bundle.hash) ?? result
  }

  /** Does what time alone has decided: a mount that turned out to be news, statistics to tell. To be called every second. */
  async tick(): Promise<void> {
    if (this.#stats.tell(this.#now())) this.#events.append({ type: 'stats', stats: this.#stats.all() })
    this.#bundles.expire()
    await this.#take(this.#bundlesAgain(this.#bundles.due()), { source: 'mount' })
  }

  refuse(name: string, error: Problem): ItemResult {
    if (!this.#isTaken(name)) return { outcome: 'unchanged' }
    const started = this.#now()
    return this.#commitNow('mount', { type: 'refused', id: bundleUnitId(name), error }, started)
  }

  async withdraw(name: string): Promise<ItemResult> {
    const id = bundleUnitId(name)
    const unmount = () => this.#bundles.unmounted(name, this.#using())
    const result = await this.#takeOne(id, unmount, { source: 'mount' })
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

  retry(name?: string): Promise<ReadonlyMap<string, ItemResult> | undefined> {
    return this.#control.retry(name)
  }

  rollback(name: string, hash?: string): Promise<Rollback> {
    return this.#control.rollback(name, hash)
  }

  /**
   * A call of a tool or extension file of a bundle version has ended.
   * @returns settled when what follows from it is done: a version that fails on probation is gone back from
   */
  called(version: LoadedBundle, file: string, problem?: Problem): Promise<void> {
    return this.#probation.called(version, file, problem)
  }

  /** What bundles are loaded with now. */
  #using(): LoadWith {
    return this.#items.loadWith(this.#secrets)
  }

  #isTaken(mount: string): boolean {
    if (this.#options.mountsTaken !== 'named') return true
    const { bundles } = this.current.settings.definition.spec
    return bundles.some(({ name, pushedOnly }) => name === mount && pushedOnly === undefined)
  }

  /** What would become of a call; changes nothing. */
  async #tryOut(request: ApplyRequest): Promise<Map<string, ItemResult>> {
    const secrets = withSecrets(this.#secrets, request)
    const using = this.#items.loadWith(secrets, request)
    const pins = request.pins ?? Object.fromEntries(this.#bundles.pins)
    const pushes = Object.entries(request.bundles)
    const removals = request.remove.bundles.map((name): Arrival => ({ type: 'remove', id: bundleUnitId(name) }))
    const arrivals = await Promise.all([
      ...this.#items.of(request, secrets).map(([, prepare]) => prepare()),
      ...pushes.map(([name, push]) => this.#bundles.tried(name, push, using)),
      ...removals,
    ])
    const held = heldBackTrials(pins, [...askedBundles(request)])
    return this.#core.check(
      arrivals.map((arrival) => this.#items.allowed(arrival)),
      held,
    )
  }

  async #takeIn(request: ApplyRequest): Promise<Map<string, ItemResult>> {
    this.#bundles.operatorCalled()
    this.#secrets = withSecrets(this.#secrets, request)
    const repinned = request.pins === undefined ? [] : this.#bundles.pin(request.pins)
    const using = this.#items.loadWith(this.#secrets, request)
    const asked = askedBundles(request)
    const isOver = this.#bundles.callBegins(asked)
    const { fence } = request
    const work: Work = [
      ...this.#items.of(request, this.#secrets),
      ...this.#bundlesAgain(repinned.filter((name) => !Object.hasOwn(request.bundles, name))),
      ...Object.entries(request.bundles).map(
        ([name, push]) => [bundleUnitId(name), () => this.#bundles.pushed(name, push, using)] as const,
      ),
      ...request.remove.bundles.map(
        (name) => [bundleUnitId(name), () => this.#bundles.forgotten(name, using)] as const,
      ),
    ]
    const overtaken = async (): Promise<void> => {
      await this.#take(this.#bundlesAgain([...new Set([...asked.keys(), ...repinned])]), { source: 'push' })
    }
    const results = await this.#take(work, { source: 'push', admitted: { fence, overtaken } }).finally(isOver)
    // A secret alone may let a bundle pass its self-tests.
    if (work.length === 0) await this.#take(this.#bundles.outdated(this.#using()), { source: 'push' })
    for (const [name, hash] of asked) this.#tellHeldBack(results, name, hash)
    if (fence === this.#guard.fence) this.#end(request)
    return results
  }

  /** Whatever the end of a call decides, unless a newer operator has the word by then. */
  #end({ complete, release, claim }: ApplyRequest): void {
    this.#completeness.settle(complete?.expected, this.#declaredCount())
    if (release) this.#guard = released(this.#guard, claim)
  }

  #tellHeldBack(results: Map<string, ItemResult>, name: string, hash: string | undefined): void {
    const held = this.#bundles.heldBack(name, hash)
    if (held && results.get(bundleUnitId(name))?.outcome !== 'rejected') results.set(bundleUnitId(name), held)
  }

  #declaredCount(): number {
    const declared = [...this.#chronicle.items.values()].filter(({ owner }) => owner !== 'api').length
    return this.#items.hasDefaultSettings ? declared - 1 : declared
  }

  async #takeOne(id: string, prepare: () => Arrival | Promise<Arrival>, how: Taking): Promise<ItemResult> {
    const results = await this.#take([[id, prepare]], how)
    return results.get(id) ?? { outcome: 'unchanged' }
  }

  /**
   * Prepares arrivals side by side and commits those that are still the newest of their id, all in one swap.
   * @throws ProblemError StaleFence when a newer operator was admitted meanwhile: then none of them is committed
   */
  async #take(work: Work, { admitted, ...how }: Taking): Promise<Map<string, ItemResult>> {
    if (work.length === 0) return new Map()
    const started = this.#now()
    const { settings } = this.current
    const prepared = await this.#preparations.prepare(work)
    const { fence } = this.#guard
    const isOvertaken = admitted !== undefined && admitted.fence < fence
    const arrivals = this.#preparations.redeem(prepared, isOvertaken)
    if (isOvertaken) {
      await admitted.overtaken()
      throw new ProblemError(staleFence(admitted.fence, fence))
    }
    const ids = prepared.map(({ id }) => id)
    const results = this.#commit(arrivals, ids, { ...how, started, loaded: this.#now() })
    await this.#take(this.#bundles.outdated(this.#using()), { source: 'push' })
    // Other settings may name other mounts.
    if (this.current.settings !== settings)
      await this.#take(this.#bundlesAgain(this.#bundles.due()), { source: 'mount' })
    return results
  }

  #commitNow(source: ArrivalSource, arrival: Arrival, started: number): ItemResult {
    const id = arrivalId(arrival)
    this.#preparations.revoke(id)
    return this.#commit([arrival], [id], { source, started, loaded: started }).get(id) ?? { outcome: 'unchanged' }
  }

  /** @param ids to have a result, whose state may have changed although nothing was committed for them */
  #commit(arrivals: readonly Arrival[], ids: readonly string[], { started, loaded, ...how }: Prelude) {
    const before = this.current
    const { results, touched } = this.#core.commit(arrivals.map((arrival) => this.#items.allowed(arrival)))
    for (const name of changedBundles(before, this.current)) {
      const files = this.current.bundles.get(name)?.source
      this.#good.serves(name, files)
      this.#probation.serves(name, files)
    }
    for (const id of new Set([...touched, ...ids])) this.#tell(id)
    if (this.current !== before) this.#options.observer?.swapped(this.current)
    for (const id of ids) if (!results.has(id)) results.set(id, SUPERSEDED)
    const timing = { loadMs: loaded - started, swapMs: this.#now() - loaded }
    const byId = new Map(arrivals.map((arrival) => [arrivalId(arrival), arrival]))
    const heldBack = (name: string) => this.#bundles.waiting(name)
    const committed = { results, arrivals: byId, before, after: this.current, heldBack, timing, ...how }
    for (const settlement of settlementsOf(committed)) this.#options.observer?.settled(settlement)
    return results
  }

  #tell(id: string): void {
    const record = this.#core.candidates.get(id)
    const bundle = bundleNameOf(id)
    if (bundle === undefined) this.#chronicle.item(id, itemStateOf(itemAt(this.current, id), record))
    else this.#chronicle.bundle(bundle, this.#bundles.state(bundle, record))
  }

  #bundlesAgain(names: readonly string[]): Work {
    return names.map((name) => [bundleUnitId(name), () => this.#bundles.current(name, this.#using())] as const)
  }
}
