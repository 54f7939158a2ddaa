import type { ItemId } from '../../api/index.ts'
import { SETTINGS_ID } from '../../api/index.ts'
import type { Clock } from '../../clock.ts'
import type { OperatorMetrics } from '../metrics.ts'
import type { PodState } from '../ports.ts'
import { bundleOfUnit, bundleUnit, servesUnit } from '../unit-id.ts'
import type { Inputs } from './inputs.ts'

type Change = {
  /** Those that changed. */
  readonly items: ReadonlySet<ItemId>
  /** Whether what all of them depend on did: settings, secrets. */
  readonly isContext: boolean
  /** Whether what many of them use did: that, or a bundle. Pods may serve it already, and then have nothing to say. */
  readonly isShared: boolean
}

/** Remembers since when each item is to be what it is, and how long it takes until the pods show it. */
export class Settling {
  readonly #clock: Clock
  readonly #metrics: Pick<OperatorMetrics, 'propagated'>
  /** What each unit is to be, and since when, on the monotonic clock. */
  readonly #wanted = new Map<string, { readonly revision: string; readonly since: number }>()
  /** Units that the pods have not shown yet. */
  readonly #pending = new Set<string>()
  #context = ''
  #contextSince: number
  #hasBegun = false
  /** Since when some pod counts; undefined while none does. */
  #countedSince: number | undefined

  constructor(clock: Clock, metrics: Pick<OperatorMetrics, 'propagated'>) {
    this.#clock = clock
    this.#metrics = metrics
    this.#contextSince = clock.monotonic()
  }

  /** What is wanted from now on. */
  take(inputs: Inputs): Change {
    const now = this.#clock.monotonic()
    const wanted = revisionsOf(inputs)
    const items = new Set<ItemId>()
    for (const [unit, revision] of wanted) {
      if (this.#wanted.get(unit)?.revision === revision) continue
      this.#wanted.set(unit, { revision, since: now })
      this.#pending.add(unit)
      items.add(unit)
    }
    for (const unit of [...this.#wanted.keys()]) {
      if (wanted.has(unit)) continue
      this.#wanted.delete(unit)
      this.#pending.delete(unit)
      items.add(unit)
    }
    const context = contextOf(inputs)
    const isContext = context !== this.#context
    const isShared = isContext || [...items].some(isBundle)
    if (isShared) this.#contextSince = now
    this.#context = context
    return { items, isContext, isShared }
  }

  /** Whether some pod counts. Where pods come back after there were none, the others follow within moments. */
  counted(isAny: boolean): void {
    this.#countedSince = isAny ? (this.#countedSince ?? this.#clock.monotonic()) : undefined
  }

  /** A sync begins when the object may be placed, and anew with the first pod that counts. */
  unsettledMs(id: ItemId): number {
    const wanted = this.#wanted.get(id)
    if (wanted?.revision === UNGUARDED) return 0
    return this.#clock.monotonic() - Math.max(wanted?.since ?? 0, this.#contextSince, this.#countedSince ?? 0)
  }

  /** False while one of these objects may soon be placed; one that does not get its finalizer holds nobody back. */
  isWhole(unguarded: ReadonlySet<ItemId>): boolean {
    const now = this.#clock.monotonic()
    for (const id of unguarded) if (now - (this.#wanted.get(id)?.since ?? 0) < GUARD_MS) return false
    return true
  }

  get hasBegun(): boolean {
    return this.#hasBegun
  }

  /** To be called when what is declared may all be placed: syncs begin now. @returns whether they had not before */
  begin(): boolean {
    if (this.#hasBegun) return false
    this.#hasBegun = true
    this.#contextSince = this.#clock.monotonic()
    return true
  }

  /** A pod that showed something else of an item than is wanted: its sync begins anew, if none is under way. */
  disturbed(id: ItemId, shown: string | undefined): void {
    const wanted = this.#wanted.get(id)
    if (wanted === undefined || wanted.revision === shown || this.#pending.has(id)) return
    this.#wanted.set(id, { ...wanted, since: this.#clock.monotonic() })
  }

  /** A pod that counts from now on, and shows something else than is wanted: syncs begin anew, as after `disturbed`. */
  rejoined(pod: PodState): void {
    const now = this.#clock.monotonic()
    for (const [unit, wanted] of this.#wanted) {
      if (this.#pending.has(unit) || servesUnit(unit, wanted.revision)(pod)) continue
      if (isBundle(unit)) this.#contextSince = now
      else this.#wanted.set(unit, { ...wanted, since: now })
    }
  }

  /** To be called when nothing is under way: what the pods show now has arrived. */
  observe(pods: readonly PodState[]): void {
    if (this.#pending.size === 0 || pods.length === 0) return
    const now = this.#clock.monotonic()
    for (const unit of this.#pending) {
      const wanted = this.#wanted.get(unit)
      if (wanted && pods.every(servesUnit(unit, wanted.revision)))
        this.#metrics.propagated(kindOf(unit), (now - wanted.since) / 1000)
    }
    this.#pending.clear()
  }
}

/** How long a sync waits for the finalizers of its objects before it counts as whole without them. */
const GUARD_MS = 30_000

/** Stands for whatever revision of an object that may not be placed yet. */
const UNGUARDED = 'unguarded'

const isBundle = (unit: string): boolean => bundleOfUnit(unit) !== undefined

const kindOf = (unit: string) =>
  isBundle(unit) ? 'bundles' : (unit.split('/')[0] as 'agents' | 'teams' | 'workflows' | 'settings')

function revisionsOf({ compiled, bundleViews, unguarded }: Inputs): Map<string, string> {
  const out = new Map<string, string>()
  for (const [id, { revision }] of compiled.items) out.set(id, unguarded.has(id) ? UNGUARDED : revision)
  for (const id of compiled.held) out.set(id, 'held')
  for (const [name, { hash, problem }] of bundleViews) {
    const shown = hash ?? problem?.reason
    if (shown !== undefined) out.set(bundleUnit(name), shown)
  }
  return out
}

const contextOf = ({ compiled, secrets }: Inputs): string =>
  [compiled.items.get(SETTINGS_ID)?.revision, ...[...secrets].map(([id, { version }]) => `${id}=${version}`)].join(' ')
