import { type ItemId, type Kind, type Problem, SETTINGS_ID } from '../api/index.ts'
import {
  type KubeObject,
  keyOf,
  keyOfName,
  nameOfKey,
  type ObjectKey,
  type ObjectName,
  type Outcome,
  PRIORITY,
  type Priority,
  type WorkQueue,
} from '../kube/index.ts'
import type { BootOwner, BootRecords } from './boot/index.ts'
import type { Concerned, Dependents } from './dependents/index.ts'
import { itemKey, objectOfItem } from './items/keys.ts'
import type { Units as UnitsPort } from './items/reconcile.ts'
import { type Claims, claimPods } from './place/claims.ts'
import type { ManagedView, PodState } from './ports.ts'
import { isPodOf, isSameView, managedView, mountedBy, podSelector } from './runtimes/index.ts'
import type { TrustAccess } from './trust/index.ts'
import type { UnitDeps } from './unit/deps.ts'
import type { UnitEvent } from './unit/events.ts'
import { runtimeSpecOf, sourceOf } from './unit/inputs.ts'
import { RuntimeUnit } from './unit/unit.ts'
import { type Catalogue, isLeaving } from './world/catalogue.ts'
import type { PodSelection, PodWatches } from './world/pod-watches.ts'
import { runtimesIn, type World } from './world/world.ts'

export type UnitsOptions = {
  readonly world: World
  readonly pods: PodWatches
  readonly dependents: Dependents
  /** Of units, by the key of their AgentRuntime. */
  readonly unitQueue: WorkQueue
  /** Of objects, by kind and name. */
  readonly itemQueue: WorkQueue
  readonly boot: BootRecords
  /** What all units share. */
  readonly shared: Pick<UnitDeps, 'fence' | 'inTurn' | 'reach' | 'connect' | 'clock' | 'metrics'>
  readonly record: (about: KubeObject, event: UnitEvent) => void
  readonly own: OwnPods
}

/** What is known of AgentRuntimes whose pods the operator runs. */
export type OwnPods = {
  /** Why what the pods are made from is not as declared. */
  readonly problems: (runtime: ObjectName) => readonly Problem[]
  readonly deployment: (runtime: ObjectName) => KubeObject | undefined
  readonly trusted: (runtime: ObjectName) => TrustAccess
  /** A pod accepts other tokens than before, or came or went. */
  readonly onCredentials: (runtime: ObjectName) => void
}

/** How long a unit rests after a reconcile, as a multiple of what it cost: thousands of items must not fill the process. */
const REST = 10
const MAX_REST_MS = 250

/** The units of all AgentRuntimes, and what goes between them: pods and items that move from one to another. */
export class Units implements UnitsPort {
  readonly #options: UnitsOptions
  readonly #signal: AbortSignal
  readonly #units = new Map<ObjectKey, RuntimeUnit>()
  /** When each unit may reconcile again, on the monotonic clock. */
  readonly #notBefore = new Map<ObjectKey, number>()
  readonly #managed = new Map<ObjectKey, ManagedView>()
  /** Which tokens the pods of each said they accept. */
  readonly #credentials = new Map<ObjectKey, string>()

  constructor(options: UnitsOptions, signal: AbortSignal) {
    this.#options = options
    this.#signal = signal
  }

  of(runtime: ObjectName): RuntimeUnit | undefined {
    return this.#units.get(keyOfName(runtime))
  }

  *inNamespace(namespace: string | undefined): Iterable<RuntimeUnit> {
    for (const [key, unit] of this.#units) if (nameOfKey(key).namespace === namespace) yield unit
  }

  exists({ namespace, name }: ObjectName): boolean {
    return this.#catalogue.get('AgentRuntime', { namespace, name }) !== undefined
  }

  isAware(namespace: string | undefined): boolean {
    const runtimes = [...this.#options.world.runtimes()].filter(({ metadata }) => metadata.namespace === namespace)
    return runtimes.every(({ metadata }) => this.#units.get(keyOfName(metadata))?.isAware ?? false)
  }

  all(): Iterable<RuntimeUnit> {
    return this.#units.values()
  }

  /** Where an item was served before, it waits for this to let go of it. */
  arrived({ metadata: { namespace }, kind }: KubeObject): void {
    if (kind === 'AgentRuntime') return
    for (const [key, unit] of this.#units)
      if (nameOfKey(key).namespace === namespace && unit.isWaitingToLetGo) this.wake(nameOfKey(key))
  }

  /** The AgentRuntimes have changed: which there are, what they select. */
  follow(): void {
    const selections = new Map<string, PodSelection>()
    for (const object of this.#options.world.runtimes()) {
      const { namespace, name } = object.metadata
      const matchLabels = this.#labelsOf({ namespace, name })
      if (matchLabels) selections.set(keyOf(object), { runtime: { namespace, name }, matchLabels })
    }
    this.#options.pods.follow(selections)
    const namespaces = [...this.#options.world.runtimes()].flatMap(({ metadata: { namespace } }) => namespace ?? [])
    this.#options.dependents.follow(new Set(namespaces))
  }

  /** What selects the pods of an AgentRuntime; undefined while that cannot be said. */
  #labelsOf(runtime: ObjectName): Readonly<Record<string, string>> | undefined {
    const source = sourceOf(this.#catalogue, runtime)
    switch (source.type) {
      case 'adopted':
        return source.adopt.selector.matchLabels
      case 'managed':
        return podSelector(runtime.name)
      case 'unknown':
        return undefined
    }
  }

  /** What is to be said of pods that the operator runs; undefined of others, and before the first look. */
  managed(runtime: ObjectName): ManagedView | undefined {
    return this.#managed.get(keyOfName(runtime))
  }

  /**
   * What each pod of an AgentRuntime that is not on its way out said of itself; undefined of one that said nothing. Until
   * it is known which there are, one that said nothing stands for them.
   */
  statesOf(runtime: ObjectName): (PodState | undefined)[] {
    const managed = this.managed(runtime)
    if (managed === undefined) return [undefined]
    const states = new Map(this.of(runtime)?.view.pods.map(({ name, state }) => [name, state]))
    const names = new Set([...states.keys(), ...managed.pods.keys()])
    return [...names].map((name) => states.get(name))
  }

  async reconcile(key: ObjectKey): Promise<Outcome> {
    const name = nameOfKey(key)
    const declared = this.#catalogue.get('AgentRuntime', name)
    if (declared === undefined) {
      this.#units.get(key)?.stop()
      this.#notBefore.delete(key)
      this.#options.boot.end(name)
      this.#managed.delete(key)
      this.#credentials.delete(key)
      this.#options.dependents.want(name, { configMaps: [], secrets: [] })
      if (this.#units.delete(key)) this.#touch(name, 'all')
      return { type: 'settled' }
    }
    const known = this.#units.get(key)
    const unit = known ?? new RuntimeUnit(name, this.#depsOf(name), this.#signal)
    if (known === undefined) {
      this.#units.set(key, unit)
      this.#touch(name, 'all')
    }
    this.#lookAtManaged(name)
    const outcome = await unit.reconcile()
    this.#lookAtCredentials(name)
    this.#notBefore.set(key, this.#options.shared.clock.monotonic() + Math.min(unit.costMs * REST, MAX_REST_MS))
    return outcome
  }

  #lookAtManaged(runtime: ObjectName): void {
    const key = keyOfName(runtime)
    const isManaged = sourceOf(this.#catalogue, runtime).type === 'managed'
    const pods = this.#options.pods.pods(key)
    if (isManaged && pods === undefined) return
    const { problems, deployment } = this.#options.own
    const replicas = runtimeSpecOf(this.#catalogue, runtime)?.replicas ?? this.#managed.get(key)?.replicas ?? 1
    const about = { name: runtime.name, replicas, problems: problems(runtime), deployment: deployment(runtime) }
    const now = isManaged && pods ? managedView({ ...about, pods }) : undefined
    if (isSameView(now, this.#managed.get(key))) return
    if (now === undefined) this.#managed.delete(key)
    else this.#managed.set(key, now)
    this.#touch(runtime, 'all')
  }

  #lookAtCredentials(runtime: ObjectName): void {
    const key = keyOfName(runtime)
    if (!this.#managed.has(key)) return
    const accepted = this.statesOf(runtime).map((state) => state?.credentials?.tokenIds.join(' '))
    const now = accepted.sort().join('\n')
    if (this.#credentials.get(key) === now) return
    this.#credentials.set(key, now)
    this.#options.own.onCredentials(runtime)
  }

  /** Reconciles an AgentRuntime soon: many changes that come one after the other are taken together. */
  wake(runtime: ObjectName, priority: Priority = PRIORITY.HIGH): void {
    const key = keyOfName(runtime)
    const afterMs = Math.max(0, (this.#notBefore.get(key) ?? 0) - this.#options.shared.clock.monotonic())
    this.#options.unitQueue.add(key, { priority, afterMs })
  }

  /** AgentRuntimes of a namespace are to look again: their pods, ConfigMaps or Secrets changed. */
  wakeNamespace(namespace: string | undefined, concerned: Concerned = 'all'): void {
    for (const runtime of runtimesIn(this.#options.world, namespace, concerned)) this.wake(runtime)
  }

  get #catalogue(): Catalogue {
    return this.#options.world.catalogue
  }

  #ownerOf(name: ObjectName): BootOwner | undefined {
    const object = this.#catalogue.get('AgentRuntime', name)?.object
    const { namespace, uid } = object?.metadata ?? {}
    if (object === undefined || isLeaving(object) || namespace === undefined || uid === undefined) return undefined
    return { namespace, name: name.name, uid }
  }

  #depsOf(name: ObjectName): UnitDeps {
    const { shared } = this.#options
    return {
      ...shared,
      dependents: this.#options.dependents,
      catalogue: this.#catalogue,
      trusted: () => this.#options.own.trusted(name),
      boot: this.#options.boot.open(name, { owner: () => this.#ownerOf(name), onChange: () => this.wake(name) }),
      object: () => this.#catalogue.get('AgentRuntime', name)?.object,
      pods: () => this.#podsOf(name),
      isMoving: (id) => this.#isMoving(id, name),
      mounts: () => {
        const deployment = this.#options.own.deployment(name)
        return deployment === undefined ? new Map() : mountedBy(deployment)
      },
      wake: () => this.wake(name),
      touch: (items) => this.#touch(name, items),
      record: (id, event) => {
        const { kind, name: object } = objectOfItem(id, name)
        const about = this.#catalogue.get(kind, object)?.object
        if (about) this.#options.record(about, event)
      },
    }
  }

  #podsOf(name: ObjectName): { owned: readonly KubeObject[]; lost: readonly string[] } | undefined {
    const key = keyOfName(name)
    const { pods, world } = this.#options
    if (pods.pods(key) === undefined) return undefined
    const selections = [...world.runtimes()].flatMap((runtime) => {
      if (runtime.metadata.namespace !== name.namespace) return []
      const selected = pods.pods(keyOf(runtime)) ?? []
      const isManaged = sourceOf(this.#catalogue, runtime.metadata).type === 'managed'
      const own = isManaged ? selected.filter((pod) => isPodOf(pod, runtime.metadata.name)) : selected
      return [{ runtime, pods: own, isManaged }]
    })
    const claims: Claims = claimPods(selections)
    return { owned: claims.owned.get(key) ?? [], lost: claims.lost.get(key) ?? [] }
  }

  /** Whether an item that a pod of this AgentRuntime has is declared for another one, which does not serve it yet. */
  #isMoving(id: ItemId, from: ObjectName): boolean {
    const { kind, name } = objectOfItem(id, from)
    const declared = this.#catalogue.get(kind, name)
    if (declared === undefined || isLeaving(declared.object) || declared.entry.runtime === from.name) return false
    const { entry } = declared
    const there = this.of({ namespace: from.namespace, name: entry.runtime })
    const wanted = there?.declared(entry)
    return wanted?.type !== 'compiled' || !there?.acknowledged.serves(id, wanted.revision)
  }

  #touch(runtime: ObjectName, items: Iterable<ItemId> | 'all'): void {
    const { itemQueue } = this.#options
    itemQueue.add(itemKey('AgentRuntime', runtime))
    if (items !== 'all') {
      for (const id of items) {
        const { kind, name } = objectOfItem(id, runtime)
        if (id !== SETTINGS_ID && kind !== undefined) itemQueue.add(itemKey(kind, name))
      }
      return
    }
    // What is being deleted may wait for any AgentRuntime of its namespace.
    for (const { object } of [...this.#catalogue.of(runtime), ...this.#catalogue.leaving(runtime.namespace)])
      itemQueue.add(itemKey(object.kind as Kind, object.metadata), { priority: PRIORITY.LOW })
  }
}
