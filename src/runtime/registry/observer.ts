import type { BundleFiles, ItemResult, Problem } from '../../api/index.ts'
import type { LoadedBundle } from '../files/loaded.ts'
import type { Arrival } from './core.ts'
import { bundleNameOf, bundleUnitId } from './plan/served.ts'
import type { Snapshot } from './snapshot.ts'

/** Where an arrival came from. */
export type ArrivalSource = 'push' | 'mount' | 'api' | 'probation'

/** How long an arrival took, in milliseconds: to load its parts aside, and to resolve and swap. */
export type ArrivalTiming = { readonly loadMs: number; readonly swapMs: number }

/**
 * How a directory came to show something, in milliseconds: from the first notice of the change until it was at rest, and
 * the reading of it.
 */
export type Noticed = { readonly detectMs: number; readonly readMs: number }

/** Of a bundle: the version that arrived, absent for a removal and for what could not be read, and what served before. */
export type BundleChange = {
  readonly name: string
  readonly arrived?: BundleFiles | undefined
  readonly before?: BundleFiles | undefined
  /** The arrived version as it was loaded; absent when it was refused, and when it served already. */
  readonly loaded?: LoadedBundle | undefined
}

/** Why an earlier version of a bundle serves again: somebody asked for it, or the later one failed on probation. */
export type WentBack = { readonly cause: 'manual' } | { readonly cause: 'probation'; readonly error: Problem }

/** A version that fails on probation and goes on serving, since there is none to go back to, or that cannot serve. */
export type Failed = { readonly bundle: string; readonly problem: Problem }

/** What became of one arrival. */
export type Settlement = {
  readonly id: string
  readonly source: ArrivalSource
  readonly result: ItemResult
  readonly timing: ArrivalTiming
  readonly noticed?: Noticed | undefined
  readonly bundle?: BundleChange | undefined
  /** Of an arrival that is to put an earlier version of a bundle back. */
  readonly wentBack?: WentBack | undefined
}

/** Told of everything that settles; never throws. */
export interface RegistryObserver {
  settled(settlement: Settlement): void
  /** Another snapshot serves. */
  swapped(snapshot: Snapshot): void
  failed(failed: Failed): void
}

/** Whether an earlier version of a bundle serves because the later one failed on probation. */
export const isReverted = ({ wentBack, result }: Pick<Settlement, 'wentBack' | 'result'>): boolean =>
  wentBack?.cause === 'probation' && result.outcome === 'activated'

/** Files that a pin keeps from serving, and what whoever brought them is told. */
export type HeldBundle = { readonly files: BundleFiles; readonly result: ItemResult }

/** One commit, to be told. */
export type Committed = {
  readonly results: ReadonlyMap<string, ItemResult>
  readonly arrivals: ReadonlyMap<string, Arrival>
  readonly before: Snapshot
  readonly after: Snapshot
  /** What a pin keeps from serving, by the bundle's name. */
  readonly heldBack: (bundle: string) => HeldBundle | undefined
} & Pick<Settlement, 'source' | 'timing' | 'noticed' | 'wentBack'>

/** Names of the bundles of which another version serves, or none any more. */
export function changedBundles(before: Snapshot, after: Snapshot): string[] {
  if (before === after) return []
  const names = new Set([...before.bundles.keys(), ...after.bundles.keys()])
  return [...names].filter((name) => before.bundles.get(name) !== after.bundles.get(name))
}

/** What a commit settled: the results, and bundles that waited until something else arrived in it. */
export function* settlementsOf(committed: Committed): Generator<Settlement> {
  const { results, arrivals, before, after, heldBack, wentBack, ...common } = committed
  for (const [id, result] of results) {
    const name = bundleNameOf(id)
    const told = { id, result, ...common, ...(wentBack && { wentBack }) }
    if (name === undefined) yield told
    else yield orHeld({ ...told, bundle: bundleChange(name, arrivals.get(id), before) }, heldBack)
  }
  for (const name of changedBundles(before, after)) {
    const id = bundleUnitId(name)
    if (results.has(id)) continue
    const loaded = after.bundles.get(name)
    const result: ItemResult = { outcome: 'activated', ...(loaded && { revision: loaded.hash }) }
    const arrived = loaded?.source
    yield { id, result, ...common, bundle: { name, arrived, before: before.bundles.get(name)?.source, loaded } }
  }
}

/** Where what serves stays as it is, what a pin keeps from serving is what came. */
function orHeld(
  settlement: Settlement & { readonly bundle: BundleChange },
  heldBack: Committed['heldBack'],
): Settlement {
  const { bundle, result } = settlement
  const held = result.outcome === 'unchanged' ? heldBack(bundle.name) : undefined
  return held ? { ...settlement, result: held.result, bundle: { ...bundle, arrived: held.files } } : settlement
}

function bundleChange(name: string, arrival: Arrival | undefined, snapshot: Snapshot): BundleChange {
  const serving = snapshot.bundles.get(name)
  const before = serving?.source
  if (arrival?.type === 'refused') return { name, before, arrived: arrival.source }
  if (arrival?.type !== 'put' || arrival.unit.type !== 'bundle') return { name, before }
  const { bundle } = arrival.unit
  if (bundle === serving && arrival.insteadOf) return { name, before, arrived: arrival.insteadOf.source }
  return { name, before, arrived: bundle.source, ...(bundle !== serving && { loaded: bundle }) }
}
