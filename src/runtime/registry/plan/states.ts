import type { BundleState, ItemState, Problem } from '../../../api/index.ts'
import type { AnyActiveItem } from '../snapshot.ts'
import { type CandidateRecord, describeCandidate } from './candidates.ts'

/** An item as state and events tell it: what serves, and what waits or was refused. Undefined for none of the two. */
export function itemStateOf(
  serving: AnyActiveItem | undefined,
  record: CandidateRecord | undefined,
): ItemState | undefined {
  const owner = serving?.owner ?? record?.owner
  if (owner === undefined) return undefined
  return {
    owner,
    ...(serving && { active: activeOf(serving) }),
    ...(record && { candidate: { ...revisionOf(record), ...describeCandidate(record) } }),
  }
}

function activeOf({ revision, digest, bundles }: AnyActiveItem): NonNullable<ItemState['active']> {
  return { revision, digest, ...(bundles && { bundles: [...bundles] }) }
}

const revisionOf = ({ revision }: CandidateRecord) => (revision === undefined ? {} : { revision })

/** What a pin keeps from serving; without a hash, the removal of the bundle. */
export type HeldBack = { readonly hash?: string; readonly error: Problem }

export type BundleParts = {
  /** Hash that serves. */
  readonly active: string | undefined
  readonly record: CandidateRecord | undefined
  readonly heldBack: HeldBack | undefined
  /** Hash that the mount shows. */
  readonly mount: string | undefined
}

/** A bundle as state and events tell it. Undefined when there is nothing of it. */
export function bundleStateOf({ active, record, heldBack, mount }: BundleParts): BundleState | undefined {
  const candidate = record ? candidateOf(record) : heldBack && { outcome: 'pending' as const, ...heldBack }
  if (active === undefined && candidate === undefined && mount === undefined) return undefined
  return {
    ...(active !== undefined && { active }),
    ...(candidate && { candidate }),
    ...(mount !== undefined && { mount }),
  }
}

function candidateOf(record: CandidateRecord): NonNullable<BundleState['candidate']> {
  const { revision } = record
  const { outcome, error } = describeCandidate(record)
  const isReverted = error?.reason === 'RevertedByProbation'
  return {
    ...(revision !== undefined && { hash: revision }),
    outcome: isReverted ? 'reverted' : outcome,
    ...(error && { error }),
  }
}
