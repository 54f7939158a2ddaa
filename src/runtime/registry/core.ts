import { type BundleFiles, type ItemResult, type Owner, type Problem, RUNNABLE } from '../../api/index.ts'
import type { LoadedBundle } from '../files/loaded.ts'
import { Pins } from './pins.ts'
import { buildSnapshot } from './plan/build.ts'
import { type CandidateRecord, Candidates, describeCandidate } from './plan/candidates.ts'
import { resolve } from './plan/resolve.ts'
import type { Served, ServedSettings } from './plan/served.ts'
import type { Pinned } from './port.ts'
import { itemAt, type Snapshot } from './snapshot.ts'

/** Something that came for an id, as far as it could be prepared on its own. */
export type Arrival =
  | {
      readonly type: 'put'
      readonly unit: Served
      /** What is wanted, and refused for as long as this serves in its place. */
      readonly insteadOf?: RefusedArrival | undefined
    }
  | { readonly type: 'remove'; readonly id: string }
  | RefusedArrival

type RefusedArrival = {
  readonly type: 'refused'
  readonly id: string
  readonly revision?: string | undefined
  readonly owner?: Owner | undefined
  readonly error: Problem
  /** The files of a bundle that could be read and not loaded. */
  readonly source?: BundleFiles | undefined
}

export const arrivalId = (arrival: Arrival): string => (arrival.type === 'put' ? arrival.unit.id : arrival.id)

export type CoreOptions = {
  readonly bootId: string
  readonly settings: ServedSettings
  /** Names of mounted bundles in the order in which they were given. */
  readonly mounts: readonly string[]
}

/** What a commit did. */
export type Commit = {
  readonly results: Map<string, ItemResult>
  /** Every id whose state may have changed. */
  readonly touched: ReadonlySet<string>
}

/**
 * The state of a registry and its one transition: arrivals become candidates, `resolve` says which may serve, and one
 * swap makes them serve. Synchronous, so nobody ever sees half of it.
 */
export class RegistryCore {
  readonly candidates = new Candidates()
  readonly #bootId: string
  readonly #mounts: readonly string[]
  readonly #pins: Pins
  #units: ReadonlyMap<string, Served>
  #snapshot: Snapshot
  #swaps = 0

  constructor({ bootId, settings, mounts }: CoreOptions) {
    this.#bootId = bootId
    this.#mounts = mounts
    this.#units = new Map([[settings.id, settings]])
    this.#snapshot = buildSnapshot(`${bootId}/0`, this.#units, mounts)
    this.#pins = new Pins(this.#snapshot, disposeTools)
  }

  get snapshot(): Snapshot {
    return this.#snapshot
  }

  get bundleVersionsAlive(): number {
    return this.#pins.bundleVersionsAlive()
  }

  /** What serves under an id. */
  unit(id: string): Served | undefined {
    return this.#units.get(id)
  }

  pin(): Pinned {
    return this.#pins.pin()
  }

  /** Takes the arrivals in and says what became of each. */
  commit(arrivals: readonly Arrival[]): Commit {
    const before = { units: this.#units, snapshot: this.#snapshot, candidates: this.candidates.ids() }
    for (const arrival of arrivals) this.#admit(arrival)
    const { next, waiting } = resolve(this.#units, this.candidates.eligible())
    this.candidates.settle(waiting)
    this.#swap(next)
    for (const arrival of arrivals) this.#refuseInstead(arrival)
    return {
      results: new Map(arrivals.map((arrival) => [arrivalId(arrival), this.#resultOf(arrival, before.units)])),
      touched: new Set([
        ...changedItems(before.snapshot, this.#snapshot),
        ...before.candidates,
        ...this.candidates.ids(),
        ...arrivals.map(arrivalId),
      ]),
    }
  }

  /**
   * What would become of the arrivals; changes nothing, and disposes of nothing.
   * @param held results of those that would be kept from serving whatever they are, unless they are refused
   */
  check(arrivals: readonly Arrival[], held: ReadonlyMap<string, ItemResult> = new Map()): Map<string, ItemResult> {
    const trial = this.candidates.copy()
    for (const arrival of arrivals) if (!held.has(arrivalId(arrival))) trial.set(arrivalId(arrival), recordOf(arrival))
    const { waiting } = resolve(this.#units, trial.eligible())
    return new Map(
      arrivals.map((arrival) => {
        const id = arrivalId(arrival)
        const revision = revisionOfArrival(arrival)
        if (arrival.type === 'refused') return [id, result('rejected', { revision, error: arrival.error })]
        const error = waiting.get(id)
        const kept = held.get(id)
        if (kept) return [id, kept]
        return [id, error ? result('pending', { revision, error }) : result('checked', { revision })]
      }),
    )
  }

  #admit(arrival: Arrival): void {
    const id = arrivalId(arrival)
    const replaced = this.candidates.get(id)
    if (replaced?.type === 'put' && !(arrival.type === 'put' && arrival.unit === replaced.unit))
      disposeUnit(replaced.unit)
    if (this.#changesNothing(arrival)) {
      if (arrival.type === 'put' && arrival.unit !== this.#units.get(id)) disposeUnit(arrival.unit)
      this.candidates.delete(id)
    } else this.candidates.set(id, recordOf(arrival))
  }

  #refuseInstead(arrival: Arrival): void {
    if (arrival.type !== 'put' || arrival.insteadOf === undefined || this.candidates.get(arrival.unit.id)) return
    this.candidates.set(arrival.unit.id, recordOf(arrival.insteadOf))
  }

  #changesNothing(arrival: Arrival): boolean {
    const serving = this.#units.get(arrivalId(arrival))
    if (arrival.type === 'refused') return false
    if (arrival.type === 'remove') return serving === undefined
    return serving !== undefined && isSame(serving, arrival.unit)
  }

  #swap(next: ReadonlyMap<string, Served>): void {
    const unchanged = next.size === this.#units.size && [...next].every(([id, unit]) => this.#units.get(id) === unit)
    if (unchanged) return
    this.#swaps += 1
    const previous = { units: this.#units, snapshot: this.#snapshot }
    this.#snapshot = buildSnapshot(`${this.#bootId}/${this.#swaps}`, next, this.#mounts, previous)
    this.#units = next
    this.#pins.swap(this.#snapshot)
  }

  #resultOf(arrival: Arrival, before: ReadonlyMap<string, Served>): ItemResult {
    const id = arrivalId(arrival)
    const revision = revisionOfArrival(arrival)
    const candidate = this.candidates.get(id)
    const serving = this.#units.get(id)
    const isInstead = arrival.type === 'put' && arrival.insteadOf !== undefined && serving !== before.get(id)
    if (candidate && !isInstead) {
      const { outcome, error } = describeCandidate(candidate)
      return result(outcome, { revision: candidate.revision, error })
    }
    if (serving === before.get(id)) return result('unchanged', { revision, digest: this.#digestOf(id) })
    return result('activated', { revision, digest: this.#digestOf(id) })
  }

  #digestOf(id: string): string | undefined {
    const unit = this.#units.get(id)
    if (unit === undefined) return undefined
    if (unit.type === 'bundle') return unit.bundle.hash
    return itemAt(this.#snapshot, id)?.digest
  }
}

/** Ids of the items that differ between two snapshots; an entry that was taken over is the same object. */
function* changedItems(before: Snapshot, after: Snapshot): Generator<string> {
  if (before === after) return
  if (before.settings !== after.settings) yield after.settings.id
  for (const kind of Object.values(RUNNABLE)) {
    for (const [name, item] of after[kind]) if (before[kind].get(name) !== item) yield item.id
    for (const [name, item] of before[kind]) if (!after[kind].has(name)) yield item.id
  }
}

function recordOf(arrival: Arrival): CandidateRecord {
  const revision = revisionOfArrival(arrival)
  switch (arrival.type) {
    case 'put':
      return { type: 'put', unit: arrival.unit, revision, owner: ownerOfUnit(arrival.unit) }
    case 'remove':
      return { type: 'remove' }
    case 'refused':
      return { type: 'refused', error: arrival.error, revision, owner: arrival.owner, source: arrival.source }
  }
}

function revisionOfArrival(arrival: Arrival): string | undefined {
  if (arrival.type === 'remove') return undefined
  if (arrival.type === 'refused') return arrival.revision
  return arrival.unit.type === 'bundle' ? arrival.unit.bundle.hash : arrival.unit.revision
}

export const ownerOfUnit = (unit: Served | undefined): Owner | undefined =>
  unit === undefined || unit.type === 'bundle' ? undefined : unit.owner

function isSame(serving: Served, arrived: Served): boolean {
  if (serving.type === 'bundle') return arrived.type === 'bundle' && isSameBundle(serving.bundle, arrived.bundle)
  if (arrived.type === 'bundle' || serving.revision !== arrived.revision || serving.owner !== arrived.owner)
    return false
  return serving.type !== 'settings' || (arrived.type === 'settings' && serving.secrets === arrived.secrets)
}

/** The same files, and their code runs in the same way. */
const isSameBundle = (one: LoadedBundle, other: LoadedBundle): boolean =>
  one.hash === other.hash &&
  one.hosting?.isolation === other.hosting?.isolation &&
  one.hosting?.memoryMiB === other.hosting?.memoryMiB

function result(
  outcome: ItemResult['outcome'],
  {
    revision,
    digest,
    error,
  }: { revision?: string | undefined; digest?: string | undefined; error?: Problem | undefined },
): ItemResult {
  return {
    outcome,
    ...(revision === undefined ? {} : { revision }),
    ...(digest === undefined ? {} : { digest }),
    ...(error === undefined ? {} : { error }),
  }
}

/** Gives up what was loaded and never served. */
export const disposeUnit = (unit: Served): void => {
  if (unit.type === 'bundle') disposeTools(unit.bundle)
}

/** Tool code cannot be waited for here: a version that does not end well only keeps its own memory. */
const disposeTools = ({ tools }: { tools: { dispose(): Promise<void> } }): void => {
  tools.dispose().catch(() => undefined)
}
