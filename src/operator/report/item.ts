import { type ItemId, type ItemStatus, MAX_FAILURES, type RuntimeStatus } from '../../api/index.ts'
import type { PodState, RuntimeView } from '../ports.ts'
import { conditionsOf } from './conditions.ts'
import { failuresOf } from './failures.ts'
import { type Declared, type Finding, findNoRuntime, findRefused, findServed } from './rows.ts'
import { newsOfConditions, newsOfFailures, type Report, settle, type Times } from './settle.ts'
import { itemStanding, SYNCING } from './standing.ts'
import { podCount, type Tally, tally } from './tally.ts'
import { shortOf } from './words.ts'

export type ItemInput = Times & {
  readonly id: ItemId
  /** `metadata.generation` */
  readonly generation: number
  /** What the object's status says; undefined where it says nothing. */
  readonly previous: ItemStatus | undefined
  readonly item: Declared
  /** The AgentRuntime that the spec names. */
  readonly runtimeName: string
  /** Undefined while there is no such AgentRuntime. */
  readonly runtime: RuntimeView | undefined
  /** RFC 3339 */
  readonly now: string
}

/**
 * The status of an Agent, a Team or a Workflow, made from what its pods acknowledged. Pure and idempotent: with its
 * own status as the previous one it is the same. Takes one pass over the pods.
 */
export function reportItem(input: ItemInput): Report<ItemStatus> {
  const { item, id, runtime, previous, generation, now } = input
  const desired = item.type === 'compiled' ? item.revision : undefined
  const counts = runtime && tallyItem(runtime, id, desired)
  const { row, certainty } = find(input, counts)
  const failures = desired === undefined || counts === undefined ? [] : failuresOf(id, counts)
  const rejected = rejectedOf(input, counts)
  const status: ItemStatus = {
    observedGeneration: generation,
    conditions: conditionsOf(row, { previous: previous?.conditions ?? [], generation, now }),
    ...revisionPart(desired, counts?.revision ?? previous?.revision?.lastGood),
    ...(counts?.digest === undefined ? {} : { digest: counts.digest }),
    ...(runtime && counts && { pods: { summary: `${counts.served}/${podCount(runtime)}` } }),
    ...(failures.length > 0 && { failures }),
    ...(rejected.length > 0 && { rejected }),
  }
  return settle(previous, { status, certainty, times: input }, newsOf)
}

function tallyItem(view: RuntimeView, id: ItemId, desired: string | undefined): Tally {
  const activeIn = (state: PodState) => state.items.get(id)?.active
  const standingIn = (state: PodState) => (desired === undefined ? SYNCING : itemStanding(state, id, desired, view))
  return tally(view.pods, activeIn, standingIn)
}

function find({ item, id, runtime, runtimeName, previous }: ItemInput, counts: Tally | undefined): Finding {
  const isAvailable = counts === undefined ? wasAvailable(previous) : counts.serving > 0
  if (item.type === 'refused') return findRefused(item.problems, runtime, { tally: counts, available: isAvailable })
  if (runtime === undefined || counts === undefined) return findNoRuntime(runtimeName, isAvailable)
  return findServed({ id, view: runtime, desired: item.revision, tally: counts })
}

const wasAvailable = (previous: ItemStatus | undefined): boolean =>
  previous?.conditions?.some(({ type, status }) => type === 'Available' && status === 'True') ?? false

/** The part of a status that tells revisions. */
export function revisionPart(
  desired: string | undefined,
  lastGood: string | undefined,
): Pick<RuntimeStatus, 'revision'> {
  if (desired === undefined && lastGood === undefined) return {}
  return {
    revision: {
      ...(desired === undefined ? {} : { desired, short: shortOf(desired) }),
      ...(lastGood === undefined ? {} : { lastGood }),
    },
  }
}

/** Refused revisions, the newest last; one that all pods serve by now is refused no more. */
function rejectedOf({ item, id, previous }: ItemInput, counts: Tally | undefined): string[] {
  const before = (previous?.rejected ?? []).filter((revision) => revision !== counts?.revision)
  const standing = counts?.worst?.standing
  if (item.type === 'refused' || standing?.type !== 'refused' || standing.unit !== id) return before
  return [...before.filter((revision) => revision !== item.revision), item.revision].slice(-MAX_FAILURES)
}

/** What is news: all but the numbers of pods. */
const newsOf = ({ pods: _, ...status }: ItemStatus) => ({
  ...status,
  conditions: newsOfConditions(status.conditions),
  failures: newsOfFailures(status.failures),
})
