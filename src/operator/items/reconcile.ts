import type { Kind } from '../../api/index.ts'
import type { Clock } from '../../clock.ts'
import {
  type Expectations,
  isApiError,
  type KubeClient,
  type KubeObject,
  keyOfName,
  type ObjectName,
  type Outcome,
  PRIORITY,
  statusApply,
  writeFinalizer,
} from '../../kube/index.ts'
import type { ManagedView } from '../ports.ts'
import { parseItemStatus } from '../report/index.ts'
import type { UnitEvent } from '../unit/events.ts'
import type { RuntimeUnit } from '../unit/unit.ts'
import { type Catalogue, type Declared, FINALIZER, hasFinalizer, isLeaving } from '../world/catalogue.ts'
import { parseItemKey, RESOURCE_TYPES } from './keys.ts'
import { type ReportTimes, reportOn } from './report-on.ts'

/** Name under which the operator owns the fields of a status. */
export const FIELD_MANAGER = 'midflight'

/** Longest wait for pods that still hold an object that is being deleted, in milliseconds. */
export const RELEASE_MS = 30_000
/** After somebody else's write came between: the watch is about to show it. */
const CONFLICT_MS = 50

/** The AgentRuntimes that are at work. */
export interface Units {
  of(runtime: ObjectName): RuntimeUnit | undefined
  inNamespace(namespace: string | undefined): Iterable<RuntimeUnit>
  exists(runtime: ObjectName): boolean
  /** Of pods that the operator runs; undefined of others. */
  managed(runtime: ObjectName): ManagedView | undefined
  /** Whether all AgentRuntimes of a namespace are at work and know their pods. */
  isAware(namespace: string | undefined): boolean
  /** An item serves where it is to serve: where it served before may let go of it. */
  arrived(object: KubeObject): void
}

export type ItemsDeps = {
  readonly client: Pick<KubeClient, 'patch'>
  readonly catalogue: Catalogue
  readonly units: Units
  /** What was written to objects of a kind in a namespace. */
  readonly expectations: (kind: Kind, namespace: string | undefined) => Expectations
  readonly clock: Clock
  readonly record: (about: KubeObject, event: UnitEvent) => void
}

/** The unit touches the object as soon as there is something to say. */
const UNTIL_TOUCHED: Outcome = { type: 'settled' }

/** Keeps the finalizer and the status of objects: one reconcile brings one object to what its pods say. */
export class ItemReconciler {
  readonly #deps: ItemsDeps
  /** When an object's status was written last, and since when one is being deleted; on the monotonic clock. */
  readonly #writtenAt = new Map<string, number>()
  readonly #leavingSince = new Map<string, number>()
  /** AgentRuntimes that were warned of. */
  readonly #warned = new Set<string>()

  constructor(deps: ItemsDeps) {
    this.#deps = deps
  }

  async reconcile(key: string, signal: AbortSignal): Promise<Outcome> {
    const { kind, name } = parseItemKey(key)
    const declared = this.#deps.catalogue.get(kind, name)
    if (declared === undefined) {
      this.#writtenAt.delete(key)
      this.#leavingSince.delete(key)
      this.#warned.delete(key)
      return { type: 'settled' }
    }
    try {
      const object = this.#expectations(kind, name).latest(keyOfName(name), declared.object) ?? declared.object
      const current = { ...declared, object }
      return isLeaving(object) ? await this.#release(key, current, signal) : await this.#report(key, current, signal)
    } catch (error) {
      return outcomeOf(error)
    }
  }

  #expectations(kind: Kind, { namespace }: ObjectName): Expectations {
    return this.#deps.expectations(kind, namespace)
  }

  async #report(key: string, declared: Declared, signal: AbortSignal): Promise<Outcome> {
    const { units, clock, client } = this.#deps
    const { kind, name } = parseItemKey(key)
    const runtime = { namespace: name.namespace, name: declared.entry.runtime }
    const unit = units.of(runtime)
    if (unit === undefined && units.exists(runtime)) return UNTIL_TOUCHED
    const object = unit?.expectsPods ? await this.#guard(kind, declared.object, signal) : declared.object
    if (object === undefined) return { type: 'requeue', afterMs: CONFLICT_MS }
    const written = this.#writtenAt.get(key)
    const times: ReportTimes = {
      now: clock.now(),
      sinceWriteMs: written === undefined ? undefined : clock.monotonic() - written,
    }
    const report = reportOn({ ...declared, object }, unit && { unit, managed: units.managed(runtime) }, times)
    if (report === undefined) return UNTIL_TOUCHED
    if (report.serves) units.arrived(object)
    switch (report.type) {
      case 'same':
        return { type: 'settled' }
      case 'later':
        // That something is still under way is told after what has become of others.
        return { type: 'requeue', afterMs: report.afterMs, priority: PRIORITY.LOW }
      case 'write': {
        const { name: target, patch } = statusApply(object, report.status, FIELD_MANAGER)
        this.#wrote(kind, name, await client.patch(RESOURCE_TYPES[kind], target, patch, signal))
        this.#writtenAt.set(key, clock.monotonic())
        const isItsOwn = unit?.view.verdicts.has(declared.entry.id) || isImpossible(declared, unit)
        if (kind === 'AgentRuntime' || isItsOwn) this.#tell(object, report.status)
        this.#warnOfPlainHttp(key, declared)
        return { type: 'settled' }
      }
    }
  }

  /**
   * An Event when an object comes to stand still, or for another reason than before. What many share, as a bundle, is
   * told of the AgentRuntime alone.
   */
  #tell(object: KubeObject, status: object): void {
    const before = stalledOf(object.status)
    const now = stalledOf(status)
    if (now === undefined || (now.reason === before?.reason && now.message === before.message)) return
    this.#deps.record(object, { type: 'Warning', reason: now.reason, action: 'Activate', note: now.message })
  }

  /**
   * An Event when pods are called without TLS: with the first report on a spec, so that a restart repeats nothing, and
   * once in the life of this process.
   */
  #warnOfPlainHttp(key: string, { object, entry }: Declared): void {
    const adopt =
      entry.type === 'parsed' && entry.resource.kind === 'AgentRuntime' ? entry.resource.spec.adopt : undefined
    if (adopt === undefined || adopt.caSecretRef !== undefined) {
      this.#warned.delete(key)
      return
    }
    const isReported = parseItemStatus(object.status)?.observedGeneration === object.metadata.generation
    if (isReported || this.#warned.has(key)) return
    this.#warned.add(key)
    const note =
      'its pods are called over plain HTTP: whoever reads the network sees the token, the definitions and the keys of models; set spec.adopt.caSecretRef'
    this.#deps.record(object, { type: 'Warning', reason: 'InsecureConnection', action: 'Connect', note })
  }

  /** The object with the finalizer, which it gets before any pod; undefined when it has changed in between. */
  async #guard(kind: Kind, object: KubeObject, signal: AbortSignal): Promise<KubeObject | undefined> {
    if (hasFinalizer(object)) return object
    const change = { type: RESOURCE_TYPES[kind], object, finalizer: FINALIZER, wanted: 'present' } as const
    const result = await writeFinalizer(this.#deps.client, change, signal)
    if (result.type !== 'written') return undefined
    this.#wrote(kind, object.metadata, result.object)
    return result.object
  }

  /** Lets an object go once no pod that answers holds it, or after half a minute: the next sync prunes the rest. */
  async #release(key: string, { object, entry }: Declared, signal: AbortSignal): Promise<Outcome> {
    if (!hasFinalizer(object)) return { type: 'settled' }
    const { clock, units, client } = this.#deps
    const { kind, name } = parseItemKey(key)
    const since = this.#leavingSince.get(key) ?? clock.monotonic()
    this.#leavingSince.set(key, since)
    const leftMs = RELEASE_MS - (clock.monotonic() - since)
    const mayBeHeld =
      !units.isAware(name.namespace) ||
      (kind === 'AgentRuntime'
        ? units.of(name)?.acknowledged.holdsClaim(object)
        : [...units.inNamespace(name.namespace)].some((unit) => unit.acknowledged.holds(entry.id)))
    if (mayBeHeld && leftMs > 0) return { type: 'requeue', afterMs: leftMs }
    const change = { type: RESOURCE_TYPES[kind], object, finalizer: FINALIZER, wanted: 'absent' } as const
    const result = await writeFinalizer(client, change, signal)
    if (result.type === 'written') this.#wrote(kind, name, result.object)
    return result.type === 'conflict' ? { type: 'requeue', afterMs: CONFLICT_MS } : { type: 'settled' }
  }

  #wrote(kind: Kind, name: ObjectName, object: KubeObject): void {
    this.#expectations(kind, name).wrote(object)
  }
}

/** By itself, or beside the others of its AgentRuntime. */
const isImpossible = ({ entry }: Declared, unit: RuntimeUnit | undefined): boolean =>
  entry.type === 'refused' || unit?.declared(entry)?.type === 'refused'

/** Why an object stands still: its spec, or what it needs, has to change. */
function stalledOf(status: unknown): { readonly reason: string; readonly message: string } | undefined {
  return parseItemStatus(status)?.conditions?.find(({ type, status: is }) => type === 'Stalled' && is === 'True')
}

/** A conflict is no failure: the newer object is on its way. What is gone needs nothing. */
function outcomeOf(error: unknown): Outcome {
  if (isApiError(error, 404)) return { type: 'settled' }
  if (isApiError(error, 409)) return { type: 'requeue', afterMs: CONFLICT_MS }
  if (isApiError(error, 400, 422)) return { type: 'stalled', error }
  return { type: 'retry', error }
}
