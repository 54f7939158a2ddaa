import { randomUUID } from 'node:crypto'
import {
  type ApplyRequest,
  type ApplyResponse,
  type BundleFiles,
  type BundlePush,
  type Definition,
  type DefinitionOf,
  type ItemResult,
  itemIdOf,
  type Owner,
  PROTOCOL,
  type Problem,
  ProblemError,
  type Reason,
  RUNNABLE,
  type RunnablePlural,
  type RuntimeEvent,
  type RuntimeState,
  SETTINGS_ID,
  settingsSpec,
} from '../../api/index.ts'
import { BundleIntake } from './arrivals/bundle-intake.ts'
import { type ModelLoader, type SecretValue, secretVersions } from './arrivals/load-models.ts'
import {
  arrivalOfBundle,
  arrivalOfItem,
  arrivalOfSettings,
  type BundleLoader,
  filesOfPush,
  isProblem,
  parseItem,
} from './arrivals/prepare.ts'
import { Tickets } from './arrivals/tickets.ts'
import { type Arrival, arrivalId, ownerOfUnit, RegistryCore } from './core.ts'
import { EventLog } from './event-log.ts'
import { admit, type Guard } from './plan/guard.ts'
import { bundleNameOf, bundleUnitId, type ServedSettings, settingsUnit } from './plan/served.ts'
import type { DynamicItems, Management, MountedBundles, Pinned, SnapshotSource } from './port.ts'
import type { Snapshot } from './snapshot.ts'
import { bundleStates, itemStates } from './state.ts'
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
  readonly observer?: RegistryObserver
  readonly bootId?: string
  /** Milliseconds on a monotonic clock. */
  readonly now?: () => number
}

const NOT_FOUND: Record<RunnablePlural, Reason> = {
  agents: 'AgentNotFound',
  teams: 'TeamNotFound',
  workflows: 'WorkflowNotFound',
}

/**
 * What one runtime serves. Every way in (management protocol, mounted directories, AgentOS's dynamic calls) prepares
 * its arrivals aside and commits them to the one core; a later arrival for an id always beats an earlier one, even
 * when the earlier took longer to load.
 */
export class Registry implements SnapshotSource, Management, DynamicItems, MountedBundles {
  readonly bootId: string
  readonly #options: RegistryOptions
  readonly #events: EventLog
  readonly #core: RegistryCore
  readonly #stats = new RunStats()
  readonly #now: () => number
  readonly #secrets = new Map<string, SecretValue>()
  readonly #intake = new BundleIntake()
  /** Packages that were allowed when each bundle was last loaded. */
  readonly #loadedWith = new Map<string, string>()
  readonly #tickets = new Tickets()
  /** When the first run ended that no `stats` event has told of yet. */
  #untoldSince: number | undefined
  #guard: Omit<Guard, 'snapshot'>
  /** Items that the last whole sync named; undefined before the first. */
  #expected: number | undefined

  constructor(options: RegistryOptions) {
    this.bootId = options.bootId ?? randomUUID()
    this.#options = options
    this.#now = options.now ?? (() => performance.now())
    this.#guard = { bootId: this.bootId, fence: 0 }
    this.#events = new EventLog(this.bootId)
    const settings = emptySettings()
    this.#core = new RegistryCore({ bootId: this.bootId, settings, mounts: options.mounts ?? [], events: this.#events })
  }

  get current(): Snapshot {
    return this.#core.snapshot
  }

  get bundleVersionsAlive(): number {
    return this.#core.bundleVersionsAlive
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
    const items = itemStates(this.#core)
    return {
      protocol: PROTOCOL,
      bootId: this.bootId,
      ...(claimedBy === undefined ? {} : { claimedBy }),
      fence,
      snapshot: this.current.id,
      complete: this.#expected !== undefined && Object.keys(items).length >= this.#expected,
      items,
      bundles: bundleStates(this.#core, this.#intake.mounts()),
      secrets: Object.fromEntries([...this.#secrets].map(([id, { version }]) => [id, version])),
      tools: [...this.current.tools.keys()].filter((name) => name.includes('/')).sort(),
      stats: this.#stats.all(),
    }
  }

  async apply(request: ApplyRequest): Promise<ApplyResponse> {
    const { snapshot: _, ...guard } = admit({ ...this.#guard, snapshot: this.current.id }, request)
    this.#guard = guard
    const isCheck = request.mode === 'check'
    if (!isCheck) this.#intake.called(this.#now())
    const secrets = isCheck ? new Map(this.#secrets) : this.#secrets
    for (const [id, secret] of Object.entries(request.secrets)) secrets.set(id, secret)
    for (const id of request.remove.secrets) secrets.delete(id)

    const packages = this.#packagesOf(request)
    const work = [
      ...Object.entries(request.items).map(([id, item]) => [id, () => this.#itemArrival(id, item, secrets)] as const),
      ...this.#settingsAgain(request, secrets),
      ...Object.entries(request.bundles).map(
        ([name, push]) => [bundleUnitId(name), () => this.#pushArrival(name, push, packages, isCheck)] as const,
      ),
      ...request.remove.items.map((id) => [id, () => this.#removalArrival(id)] as const),
      ...request.remove.bundles.map((name) => [bundleUnitId(name), () => this.#bundleRemoval(name, isCheck)] as const),
    ]
    const results = await this.#take('push', work, isCheck)
    if (request.complete) this.#expected = request.complete.expected
    return { snapshot: this.current.id, ...splitResults(results) }
  }

  async offer(bundle: BundleFiles): Promise<ItemResult> {
    this.#intake.mounted(bundle, this.#now())
    return this.#takeBundle(bundle.name)
  }

  /** Does what time alone has decided: a mount that turned out to be news, statistics to tell. To be called every second. */
  async tick(): Promise<void> {
    if (this.#untoldSince !== undefined && this.#now() - this.#untoldSince >= STATS_MS) {
      this.#untoldSince = undefined
      this.#events.append({ type: 'stats', stats: this.#stats.all() })
    }
    await Promise.all(this.#intake.due(this.#now()).map((name) => this.#takeBundle(name)))
  }

  refuse(name: string, error: Problem): ItemResult {
    const started = this.#now()
    this.#tickets.take(bundleUnitId(name))
    return this.#commitNow('mount', { type: 'refused', id: bundleUnitId(name), error }, started)
  }

  withdraw(name: string): Promise<ItemResult> {
    return this.#takeOne('mount', bundleUnitId(name), () => this.#bundleRemoval(name, false))
  }

  async add(definition: Definition): Promise<ItemResult> {
    const started = this.#now()
    if (definition.kind === 'Settings') throw new Error('settings are not added by the dynamic API')
    const kind = RUNNABLE[definition.kind]
    const owner = this.ownerOf(kind, definition.name)
    const id = itemIdOf(definition.kind, definition.name)
    if (owner === 'operator') throw ownedBy(owner, id)
    if (owner) throw new ProblemError({ reason: 'DuplicateName', message: `${id} already exists` })
    return this.#commitNow('api', arrivalOfItem(definition, 'api'), started)
  }

  async remove(kind: RunnablePlural, name: string): Promise<ItemResult> {
    const started = this.#now()
    const id = `${kind}/${name}`
    const owner = this.ownerOf(kind, name)
    if (owner === undefined) throw new ProblemError({ reason: NOT_FOUND[kind], message: `${id} does not exist` })
    if (owner !== 'api') throw ownedBy(owner, id)
    const result = this.#commitNow('api', { type: 'remove', id }, started)
    if (result.outcome !== 'pending') return result
    this.#core.candidates.delete(id)
    throw new ProblemError(result.error ?? { reason: 'StillReferenced', message: `${id} is still used` })
  }

  ownerOf(kind: RunnablePlural, name: string): Owner | undefined {
    const id = `${kind}/${name}`
    return this.#core.candidates.get(id)?.owner ?? ownerOfUnit(this.#core.unit(id))
  }

  async #takeOne(source: ArrivalSource, id: string, prepare: () => Arrival | Promise<Arrival>): Promise<ItemResult> {
    const results = await this.#take(source, [[id, prepare]], false)
    return results.get(id) ?? { outcome: 'unchanged' }
  }

  /** Prepares arrivals side by side and commits those that are still the newest of their id, all in one swap. */
  async #take(
    source: ArrivalSource,
    work: readonly (readonly [string, () => Arrival | Promise<Arrival>])[],
    isCheck: boolean,
  ): Promise<Map<string, ItemResult>> {
    const started = this.#now()
    if (isCheck) return this.#core.check(await Promise.all(work.map(([, prepare]) => prepare())))
    const prepared = await Promise.all(
      work.map(async ([id, prepare]) => {
        const ticket = this.#tickets.take(id)
        return { id, ticket, arrival: await prepare() }
      }),
    )
    const loaded = this.#now()
    const newest = prepared.filter(({ id, ticket }) => this.#tickets.redeem(id, ticket))
    const results = this.#commit(newest.map(({ arrival }) => arrival))
    for (const { id } of prepared) if (!results.has(id)) results.set(id, SUPERSEDED)
    const timing = { loadMs: loaded - started, swapMs: this.#now() - loaded }
    for (const [id, result] of results) this.#options.observer?.settled(id, source, result, timing)
    await this.#reloadForPackages()
    return results
  }

  #commitNow(source: ArrivalSource, arrival: Arrival, started: number): ItemResult {
    const id = arrivalId(arrival)
    const result = this.#commit([arrival]).get(id) ?? { outcome: 'unchanged' }
    this.#options.observer?.settled(id, source, result, { loadMs: 0, swapMs: this.#now() - started })
    return result
  }

  #commit(arrivals: readonly Arrival[]): Map<string, ItemResult> {
    const before = this.current
    const results = this.#core.commit(arrivals.map((arrival) => this.#checkOwner(arrival)))
    if (this.current !== before) this.#options.observer?.swapped(this.current)
    return results
  }

  /** Nobody replaces or removes what the operator owns but the operator; a declaration takes over what the API added. */
  #checkOwner(arrival: Arrival): Arrival {
    const id = arrivalId(arrival)
    const owner = ownerOfUnit(this.#core.unit(id))
    const arriving = arrival.type === 'put' ? ownerOfUnit(arrival.unit) : undefined
    if (owner === undefined || arriving !== 'api' || owner === 'api') return arrival
    return { type: 'refused', id, owner, error: ownedBy(owner, id).problem }
  }

  #itemArrival(id: string, item: ApplyRequest['items'][string], secrets: ReadonlyMap<string, SecretValue>) {
    const parsed = parseItem(id, item)
    if (isProblem(parsed)) {
      return { type: 'refused', id, revision: item.revision, owner: item.owner, error: parsed } as const
    }
    if (parsed.kind === 'Settings') return arrivalOfSettings(parsed, item.owner, secrets, this.#options.loadModel)
    return arrivalOfItem(parsed, item.owner)
  }

  /** The newest settings once more, when a secret that they need came, changed or went. */
  #settingsAgain(request: ApplyRequest, secrets: ReadonlyMap<string, SecretValue>) {
    const newest = this.#newestSettings()
    if (Object.hasOwn(request.items, SETTINGS_ID)) return []
    if (secretVersions(newest.definition.spec.models, secrets) === newest.secrets) return []
    const again = () => arrivalOfSettings(newest.definition, newest.owner, secrets, this.#options.loadModel)
    return [[SETTINGS_ID, again] as const]
  }

  #newestSettings(): ServedSettings {
    const candidate = this.#core.candidates.get(SETTINGS_ID)
    const unit = candidate?.type === 'put' ? candidate.unit : this.#core.unit(SETTINGS_ID)
    if (unit?.type !== 'settings') throw new Error('there are always settings')
    return unit
  }

  #removalArrival(id: string): Arrival {
    const owner = ownerOfUnit(this.#core.unit(id)) ?? this.#core.candidates.get(id)?.owner
    if (owner === 'api') return { type: 'refused', id, owner, error: ownedBy(owner, id).problem }
    return { type: 'remove', id }
  }

  async #pushArrival(name: string, push: BundlePush, packages: readonly string[], isCheck: boolean): Promise<Arrival> {
    const files = filesOfPush(name, push)
    if ('reason' in files) return { type: 'refused', id: bundleUnitId(name), revision: push.hash, error: files }
    if (!isCheck) this.#intake.pushed(files, this.#now())
    return this.#bundleArrival(isCheck ? files : (this.#intake.take(name, this.#now()) ?? files), packages)
  }

  #takeBundle(name: string): Promise<ItemResult> {
    return this.#takeOne('mount', bundleUnitId(name), async () => {
      const files = this.#intake.take(name, this.#now())
      return files ? this.#bundleArrival(files, this.#packages) : this.#bundleRemoval(name, false)
    })
  }

  async #bundleArrival(files: BundleFiles, packages: readonly string[]): Promise<Arrival> {
    const serving = this.#core.unit(bundleUnitId(files.name))
    if (serving?.type === 'bundle' && serving.bundle.hash === files.hash) return { type: 'put', unit: serving }
    return this.#load(files, packages)
  }

  #load(files: BundleFiles, packages: readonly string[]): Promise<Arrival> {
    this.#loadedWith.set(files.name, packages.join())
    return arrivalOfBundle(files, packages, this.#options.loadBundle)
  }

  /** Packages that the settings allow: those of this very call, where it brings settings. */
  #packagesOf({ items }: ApplyRequest): readonly string[] {
    const item = Object.hasOwn(items, SETTINGS_ID) ? items[SETTINGS_ID] : undefined
    const parsed = item && parseItem(SETTINGS_ID, item)
    const isSettings = parsed !== undefined && !isProblem(parsed) && parsed.kind === 'Settings'
    return isSettings ? parsed.spec.tools.packages : this.#packages
  }

  get #packages(): readonly string[] {
    return this.current.settings.definition.spec.tools.packages
  }

  #bundleRemoval(name: string, isCheck: boolean): Arrival {
    if (!isCheck) {
      this.#intake.forget(name)
      this.#loadedWith.delete(name)
    }
    return { type: 'remove', id: bundleUnitId(name) }
  }

  /** Loads those bundles again that were loaded while other packages were allowed. */
  async #reloadForPackages(): Promise<void> {
    const packages = this.#packages
    const outdated = this.#intake.names().filter((name) => this.#loadedWith.get(name) !== packages.join())
    if (outdated.length === 0) return
    const sources = outdated.flatMap((name) => this.#intake.take(name, this.#now()) ?? [])
    const work = sources.map((files) => [bundleUnitId(files.name), () => this.#load(files, packages)] as const)
    await this.#take('push', work, false)
  }
}

/** Shortest time between two `stats` events. */
const STATS_MS = 5_000

const SUPERSEDED: ItemResult = {
  outcome: 'pending',
  error: { reason: 'Superseded', message: 'a newer version arrived while this one was being loaded' },
}

const ownedBy = (owner: Owner, id: string): ProblemError =>
  new ProblemError({ reason: 'OwnedByOther', message: `${id} is owned by ${owner}` })

function emptySettings(): ServedSettings {
  const definition: DefinitionOf<'Settings'> = { kind: 'Settings', name: 'default', spec: settingsSpec.parse({}) }
  return settingsUnit(definition, 'operator', {
    models: new Map(),
    unavailable: new Map(),
    secrets: secretVersions([], new Map()),
  })
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
