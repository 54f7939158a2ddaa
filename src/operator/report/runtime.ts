import {
  type BundleStatus,
  MAX_STATUS_BUNDLES,
  MAX_STATUS_PODS,
  type PodStatus,
  type RuntimeStatus,
  SETTINGS_ID,
} from '../../api/index.ts'
import type { BundleView, PodView, RuntimeView } from '../ports.ts'
import { conditionsOf } from './conditions.ts'
import { failuresOf, placeOf } from './failures.ts'
import { revisionPart } from './item.ts'
import { type Declared, type Finding, findRefused, findServed, findUncallable } from './rows.ts'
import { newsOfConditions, newsOfFailures, type Report, settle, type Times } from './settle.ts'
import { bundleStanding, isCounted, runtimeStanding, SYNCING } from './standing.ts'
import { type Tally, tally } from './tally.ts'
import { clip, listNames } from './words.ts'

export type RuntimeInput = Times & {
  /** `metadata.generation` */
  readonly generation: number
  /** What the object's status says; undefined where it says nothing. */
  readonly previous: RuntimeStatus | undefined
  readonly item: Declared
  readonly runtime: RuntimeView
  /** RFC 3339 */
  readonly now: string
}

/** The status of an AgentRuntime: its settings, its bundles and its pods. Pure and idempotent, as `reportItem`. */
export function reportRuntime(input: RuntimeInput): Report<RuntimeStatus> {
  const { item, runtime: view, previous, generation, now } = input
  const desired = item.type === 'compiled' ? item.revision : undefined
  const counts = tally(
    view.pods,
    (state) => state.items.get(SETTINGS_ID)?.active,
    (state) => (desired === undefined ? SYNCING : runtimeStanding(state, view)),
  )
  const { row, certainty } = find(input, counts)
  const failures = desired === undefined ? [] : failuresOf(SETTINGS_ID, counts)
  const bundles = bundleStatuses(view, previous)
  const pods = podStatuses(view)
  const status: RuntimeStatus = {
    observedGeneration: generation,
    conditions: conditionsOf(row, { previous: previous?.conditions ?? [], generation, now }),
    ...revisionPart(desired, counts.revision ?? previous?.revision?.lastGood),
    replicas: view.pods.length,
    readyReplicas: counts.counted,
    podSummary: `${counts.counted}/${view.pods.length}`,
    ...(bundles.length > 0 && { bundles }),
    ...(pods.length > 0 && { pods }),
    ...(failures.length > 0 && { failures }),
  }
  return settle(previous, { status, certainty, times: input }, newsOf)
}

function find({ item, runtime: view }: RuntimeInput, counts: Tally): Finding {
  if (item.type === 'refused') return findRefused(item.problems, view, { tally: counts, available: counts.serving > 0 })
  const finding = findServed({ id: SETTINGS_ID, view, desired: item.revision, tally: counts })
  const { ready } = finding.row
  if (ready.status === 'True' && view.problem) return findUncallable(view.problem, finding.row.available)
  if (ready.status === 'False' || view.claimedPods.length === 0) return finding
  const message = clip(`${ready.message}; an older AgentRuntime has ${listNames(view.claimedPods)}`)
  return { ...finding, row: { ...finding.row, ready: { ...ready, message } } }
}

function bundleStatuses(view: RuntimeView, previous: RuntimeStatus | undefined): BundleStatus[] {
  return [...view.bundles].slice(0, MAX_STATUS_BUNDLES).map(([name, bundle]) => {
    const counts = tally(
      view.pods,
      (state) => ({ revision: state.bundles.get(name)?.active }),
      (state) => bundleStanding(state, name, view),
    )
    const before = previous?.bundles?.find((entry) => entry.name === name)
    return bundleStatus(name, bundle, { counts, lastGood: counts.revision ?? before?.lastGood })
  })
}

function bundleStatus(
  name: string,
  { configMap, hash, problem }: BundleView,
  { counts, lastGood }: { counts: Tally; lastGood: string | undefined },
): BundleStatus {
  const standing = counts.worst?.standing
  const isRefused = standing?.type === 'refused' && problem === undefined
  const error = problem ?? (standing?.type === 'refused' || standing?.type === 'waiting' ? standing.problem : undefined)
  return {
    name,
    configMap,
    ...(hash === undefined ? {} : { hash }),
    ...(lastGood === undefined ? {} : { lastGood }),
    ...(isRefused && hash !== undefined && { rejected: hash }),
    ...(error && { error: { reason: error.reason, message: clip(error.message), ...placeOf(error) } }),
  }
}

const LINKS = { connecting: 'Connecting', reachable: 'Reachable', unreachable: 'Unreachable' } as const

function podStatuses(view: RuntimeView): PodStatus[] {
  return view.pods
    .map((pod) => ({ pod, rank: rankOf(pod) }))
    .sort((a, b) => a.rank - b.rank || (a.pod.name < b.pod.name ? -1 : 1))
    .slice(0, MAX_STATUS_PODS)
    .map(({ pod }) => podStatus(pod, view))
}

/** The worst first. */
function rankOf(pod: PodView): number {
  if (pod.link.type === 'unreachable') return 0
  if (!pod.isReady) return 1
  return isCounted(pod) ? 3 : 2
}

function podStatus(pod: PodView, view: RuntimeView): PodStatus {
  const problem = problemOfPod(pod, view)
  return {
    name: pod.name,
    ready: pod.isReady,
    complete: pod.state?.complete ?? false,
    link: LINKS[pod.link.type],
    ...(problem && { reason: problem.reason, message: clip(problem.message) }),
  }
}

function problemOfPod(pod: PodView, view: RuntimeView): { reason: string; message: string } | undefined {
  if (pod.link.type === 'unreachable') return pod.link.problem
  if (!pod.isReady) return { reason: 'PodsNotReady', message: 'the pod is not Ready' }
  const { state } = pod
  if (!state?.complete) return { reason: 'Syncing', message: 'the pod has not been given everything yet' }
  const standing = runtimeStanding(state, view)
  return 'problem' in standing ? standing.problem : undefined
}

/** What is news: all but how many pods there are, and which. */
const newsOf = ({ replicas: _, readyReplicas: __, podSummary: ___, pods, ...status }: RuntimeStatus) => ({
  ...status,
  conditions: newsOfConditions(status.conditions),
  failures: newsOfFailures(status.failures),
  pods: [...new Set(pods?.map(({ reason, message }) => `${reason} ${message}`))].sort(),
})
