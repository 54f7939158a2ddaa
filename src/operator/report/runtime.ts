import {
  type BundleStatus,
  MAX_STATUS_BUNDLES,
  MAX_STATUS_PODS,
  type PodStatus,
  type Problem,
  type RuntimeStatus,
  SETTINGS_ID,
} from '../../api/index.ts'
import type { BundleView, PodView, RuntimeView } from '../ports.ts'
import { conditionsOf } from './conditions.ts'
import { failuresOf, placeOf } from './failures.ts'
import { revisionPart } from './item.ts'
import {
  type Declared,
  describeStuck,
  type Finding,
  findRefused,
  findServed,
  findSilent,
  findUncallable,
  findUnkept,
  findWanting,
  troublesIn,
} from './rows.ts'
import { newsOfConditions, newsOfFailures, type Report, settle, type Times } from './settle.ts'
import { bundleStanding, isCounted, runtimeStanding, SYNCING } from './standing.ts'
import { podCount, type Tally, tally } from './tally.ts'
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
    replicas: podCount(view),
    readyReplicas: counts.counted,
    ...(view.managed && { selector: view.managed.selector }),
    podSummary: `${counts.counted}/${podCount(view)}`,
    ...(bundles.length > 0 && { bundles }),
    ...(pods.length > 0 && { pods }),
    ...(failures.length > 0 && { failures }),
  }
  return settle(previous, { status, certainty, times: input }, newsOf)
}

function find({ item, runtime: view }: RuntimeInput, counts: Tally): Finding {
  const { managed, problem, claimedPods } = view
  const seen = { tally: counts, available: counts.serving > 0 }
  if (item.type === 'refused') return findRefused(item.problems, view, seen)
  if (managed && managed.problems.length > 0) return findRefused(managed.problems, view, seen)
  const finding = findServed({ id: SETTINGS_ID, view, desired: item.revision, tally: counts })
  const { ready, available } = finding.row
  if (ready.status === 'False' || ready.reason === 'ScaledToZero') return finding
  if (problem) return findUncallable(problem, available)
  // Pods that join flip nothing, until it is said that they do not come.
  const stuck = describeStuck(view)
  if (stuck) return findUncallable(stuck, available)
  if (view.boot) return findUnkept(view.boot, available)
  if (view.toolSecrets) return findWanting(view.toolSecrets, available)
  const notes = [
    ...[managed && (troublesIn(managed.pods)[0] ?? findSilent(view))].flatMap((each) => each?.message ?? []),
    ...(claimedPods.length > 0 ? [`an older AgentRuntime has ${listNames(claimedPods)}`] : []),
  ]
  const message = clip([ready.message, ...notes].join('; '))
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
  const isReverted = isRefused && standing.problem.reason === 'RevertedByProbation'
  const error = problem ?? (standing?.type === 'refused' || standing?.type === 'waiting' ? standing.problem : undefined)
  return {
    name,
    configMap,
    ...(hash === undefined ? {} : { hash }),
    ...(lastGood === undefined || (isReverted && lastGood === hash) ? {} : { lastGood }),
    ...(isRefused && hash !== undefined && { rejected: hash }),
    ...(error && { error: { reason: error.reason, message: clip(error.message), ...placeOf(error) } }),
  }
}

const LINKS = { connecting: 'Connecting', reachable: 'Reachable', unreachable: 'Unreachable' } as const

function podStatuses(view: RuntimeView): PodStatus[] {
  const known = view.pods.map((pod) => ({ rank: rankOf(pod), status: podStatus(pod, view) }))
  const names = new Set(view.pods.map(({ name }) => name))
  const unknown = [...(view.managed?.pods ?? [])].flatMap(([name, problem]) =>
    names.has(name) ? [] : [{ rank: 0, status: unreachedStatus(name, problem) }],
  )
  return [...known, ...unknown]
    .sort((a, b) => a.rank - b.rank || (a.status.name < b.status.name ? -1 : 1))
    .slice(0, MAX_STATUS_PODS)
    .map(({ status }) => status)
}

/** A pod that has no address yet. */
function unreachedStatus(name: string, problem: Problem | undefined): PodStatus {
  const { reason, message } = problem ?? { reason: 'PodsNotReady', message: 'the pod has no address yet' }
  return { name, ready: false, complete: false, link: 'Connecting', reason, message: clip(message) }
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
  const trouble = pod.isReady ? undefined : view.managed?.pods.get(pod.name)
  if (trouble) return trouble
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
