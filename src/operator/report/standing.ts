import { type BundleState, type ItemState, type Problem, REASONS, SETTINGS_ID } from '../../api/index.ts'
import type { PodState, PodView, RuntimeView, Verdict } from '../ports.ts'
import { bundleUnit } from '../unit-id.ts'

/** How far one pod is with one unit: an item, the settings or a bundle. `unit` names what is in the way. */
export type Standing =
  | { readonly type: 'served' }
  | { readonly type: 'syncing' }
  | { readonly type: 'unreachable'; readonly problem: Problem }
  | { readonly type: 'waiting'; readonly unit: string; readonly problem: Problem }
  /** `verdict`: found by a check on all pods; else this pod refused it. */
  | { readonly type: 'refused'; readonly unit: string; readonly problem: Problem; readonly verdict?: Verdict }

export const SERVED: Standing = { type: 'served' }
export const SYNCING: Standing = { type: 'syncing' }

type Candidate = ItemState['candidate']

/** Whether the pod counts: only one that is Ready and has been given everything does. */
export const isCounted = (pod: PodView): pod is PodView & { readonly state: PodState } =>
  pod.isReady && pod.state?.complete === true

/**
 * How far a pod is with an item: with its revision, then with the bundles whose files it uses, then with the
 * settings. What is in the way first is what is told.
 */
export function itemStanding(state: PodState, id: string, desired: string, view: RuntimeView): Standing {
  const item = state.items.get(id)
  const own = unitStanding(id, item?.active?.revision, item?.candidate, { desired, view })
  if (own.type !== 'served') return own
  for (const name of item?.active?.bundles ?? NONE) {
    const bundle = bundleStanding(state, name, view)
    if (bundle.type !== 'served') return bundle
  }
  return settingsStanding(state, view)
}

const NONE: readonly string[] = []

/** An AgentRuntime that is impossible as declared desires no settings: then the ones that serve are right. */
export function settingsStanding(state: PodState, view: RuntimeView): Standing {
  if (view.settings === undefined) return SERVED
  const item = state.items.get(SETTINGS_ID)
  return unitStanding(SETTINGS_ID, item?.active?.revision, item?.candidate, { desired: view.settings, view })
}

/** How far a pod is with a bundle, whatever its mount shows besides. */
export function bundleStanding(state: PodState, name: string, view: RuntimeView): Standing {
  const wanted = view.bundles.get(name)
  const unit = bundleUnit(name)
  if (wanted?.problem !== undefined) return standingOf(wanted.problem, unit)
  const bundle = state.bundles.get(name)
  if (wanted?.hash === undefined) return leaving(unit, bundle)
  if (bundle?.active === wanted.hash) return SERVED
  return unitStanding(unit, bundle?.active, candidateOf(bundle), { desired: wanted.hash, view })
}

/** A problem that the operator itself found. */
const standingOf = (problem: Problem, unit: string): Standing =>
  REASONS[problem.reason].retry ? { type: 'waiting', unit, problem } : { type: 'refused', unit, problem }

/** A bundle that nobody declares any more stays while something uses it. */
const leaving = (unit: string, bundle: BundleState | undefined): Standing =>
  bundle?.candidate?.error === undefined ? SYNCING : { type: 'waiting', unit, problem: bundle.candidate.error }

function candidateOf(bundle: BundleState | undefined): Candidate {
  if (bundle?.candidate === undefined) return undefined
  const { hash: revision, outcome, ...rest } = bundle.candidate
  // What a pod has gone back from it refuses from now on.
  return { ...rest, revision, outcome: outcome === 'reverted' ? 'rejected' : outcome }
}

function unitStanding(
  unit: string,
  active: string | undefined,
  candidate: Candidate,
  { desired, view }: { desired: string; view: RuntimeView },
): Standing {
  if (active === desired && candidate === undefined) return SERVED
  if (candidate?.revision === desired && candidate.error !== undefined) {
    const { outcome, error: problem } = candidate
    if (outcome === 'rejected') return { type: 'refused', unit, problem }
    // Only the operator pins: because of a verdict, or the next call takes the pin away.
    if (outcome === 'pending' && problem.reason !== 'Pinned') return { type: 'waiting', unit, problem }
  }
  const verdict = active === desired ? undefined : view.verdicts.get(unit)
  const first = verdict?.revision === desired ? verdict.failures[0] : undefined
  return verdict === undefined || first === undefined ? SYNCING : { type: 'refused', unit, problem: first, verdict }
}

/** How far a pod is with all that an AgentRuntime declares: what was refused shows before what waits. */
export function runtimeStanding(state: PodState, view: RuntimeView): Standing {
  let worst = settingsStanding(state, view)
  for (const name of view.bundles.keys()) {
    if (worst.type === 'refused') return worst
    const standing = bundleStanding(state, name, view)
    if (RANK[standing.type] > RANK[worst.type]) worst = standing
  }
  return worst
}

/** The more is in the way, the higher. */
export const RANK = { served: 0, syncing: 1, unreachable: 2, waiting: 3, refused: 4 } as const
