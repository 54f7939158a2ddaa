import { type Problem, REASONS } from '../../api/index.ts'
import type { ManagedView, PodView, RuntimeView } from '../ports.ts'
import type { Note, Row } from './conditions.ts'
import type { Certainty } from './settle.ts'
import { isCounted, SERVED } from './standing.ts'
import type { Tally } from './tally.ts'
import { clip, describeProblem, describeProblems, describeStanding, listNames, type Subject } from './words.ts'

/** An object as its declaration alone tells. */
export type Declared =
  | { readonly type: 'compiled'; readonly revision: string }
  | { readonly type: 'refused'; readonly problems: readonly Problem[] }

/** A row of the truth table, and how sure it is. */
export type Finding = { readonly row: Row; readonly certainty: Certainty }

const notReady = ({ reason, message }: Note, available: boolean, progress: 'reconciling' | 'stalled'): Finding => ({
  row: { ready: { status: 'False', reason, message: clip(message) }, available, progress },
  certainty: 'known',
})

/** Whether no pod counts yet, while one that is Ready is being asked for its state: then nothing is known. */
const isAsked = ({ pods }: RuntimeView, { counted }: Tally): boolean =>
  counted === 0 && pods.some(({ isReady, link, state }) => isReady && link.type === 'connecting' && state === undefined)

/** Whether a pod that answers is about to count: what is told now would be told again with one more. */
const isJoining = ({ pods }: RuntimeView): boolean =>
  pods.some((pod) => pod.isReady && pod.link.type !== 'unreachable' && !isCounted(pod))

/** Whether some pods, besides those that say why not, are about to serve it. */
const isSyncing = ({ blocked }: Tally): boolean => blocked.some(({ standing }) => standing.type === 'syncing')

/** What is declared cannot be done; what served goes on serving. */
export function findRefused(problems: readonly Problem[], view: RuntimeView | undefined, seen: Seen): Finding {
  const certainty = view && seen.tally && isAsked(view, seen.tally) ? 'unknown' : 'known'
  return { ...describeRefused(problems, seen.available), certainty }
}

/** What the pods said, if there are any to ask, and whether some version serves. */
export type Seen = { readonly tally: Tally | undefined; readonly available: boolean }

function describeRefused(problems: readonly Problem[], available: boolean): Finding {
  const reason = problems[0]?.reason ?? 'InvalidSpec'
  const note = { reason, message: clip(describeProblems(problems)) }
  const { condition, retry } = REASONS[reason]
  const finding = notReady(note, available, retry ? 'reconciling' : 'stalled')
  return condition === 'Ready' ? finding : { ...finding, row: { ...finding.row, refused: note } }
}

/** The spec names an AgentRuntime that is not there. */
export function findNoRuntime(name: string, available: boolean): Finding {
  const message = `spec.runtime: there is no AgentRuntime "${name}" in this namespace: create it, or name another`
  return notReady({ reason: 'RuntimeNotFound', message }, available, 'reconciling')
}

/** How far the pods are, as they say themselves. */
export function findServed(subject: Subject): Finding {
  const { tally, view } = subject
  const available = tally.serving > 0
  if (tally.counted === 0) return { ...findNoPods(view), ...(isAsked(view, tally) && { certainty: 'unknown' }) }
  const standing = tally.worst?.standing ?? SERVED
  const message = clip(describeStanding(standing, subject))
  switch (standing.type) {
    case 'served':
      return {
        row: { ready: { status: 'True', reason: 'Served', message }, available, progress: 'settled' },
        certainty: isJoining(view) ? 'settles' : 'known',
      }
    case 'syncing':
      return { ...notReady({ reason: 'Syncing', message }, available, 'reconciling'), certainty: 'settles' }
    case 'unreachable':
    case 'waiting': {
      const finding = notReady({ reason: standing.problem.reason, message }, available, 'reconciling')
      return isSyncing(tally) ? { ...finding, certainty: 'settles' } : finding
    }
    case 'refused':
      return notReady({ reason: standing.problem.reason, message }, available, 'stalled')
  }
}

/** What it takes to call the pods is missing: those that are connected go on as they are. */
export const findUncallable = ({ reason, message }: Problem, available: boolean): Finding =>
  notReady({ reason, message }, available, 'reconciling')

/** What pods start from while no operator runs is not what serves: until somebody acts it stays so. */
export const findUnkept = ({ reason, message }: Problem, available: boolean): Finding =>
  notReady({ reason, message }, available, 'stalled')

/** Everything serves, and lacks something that is declared: when it comes, it is there at once. */
export const findWanting = ({ reason, message }: Problem, available: boolean): Finding =>
  notReady({ reason, message }, available, 'reconciling')

/** Nothing is to serve, and nothing does. */
function findScaledToZero(runtime: string): Finding {
  const ready = { status: 'True', reason: 'ScaledToZero', message: `${runtime} is scaled to zero` } as const
  return { row: { ready, available: false, progress: 'settled' }, certainty: 'known' }
}

/** Of pods that the operator runs, why there is none or none comes up, as Kubernetes, the API server and they say. */
function describeNotUp(runtime: string, view: RuntimeView, { problems, pods }: ManagedView): Note | undefined {
  const trouble = troublesIn(pods)[0] ?? describeStuck(view) ?? findSilent(view)
  if (trouble) return { reason: trouble.reason, message: `${runtime}: ${trouble.message}` }
  if (pods.size > 0) return undefined
  const [problem] = problems
  const why = problem ? describeProblem(problem) : 'they are being created'
  return { reason: 'PodsNotFound', message: `${runtime} has no pods yet: ${why}` }
}

/** That new pods do not come up, and why as far as it is known; undefined while they may. */
export function describeStuck(view: RuntimeView): Problem | undefined {
  const { stuck, pods } = view.managed ?? {}
  if (stuck === undefined || pods === undefined) return undefined
  const cause = troublesIn(pods)[0] ?? findSilent(view)
  return cause ? { ...stuck, message: `${stuck.message}: ${cause.message}` } : stuck
}

/** What is wrong with how a pod answers that does not become Ready. One that starts has nobody to answer at first. */
export function findSilent({ managed, pods }: RuntimeView): Problem | undefined {
  const mayStart = managed?.stuck === undefined
  const isTold = (link: PodView['link']) =>
    link.type === 'unreachable' && !(mayStart && link.problem.reason === 'RuntimeUnreachable')
  const silent = firstByName(pods.filter(({ isReady, link }) => !isReady && isTold(link)))
  if (silent?.link.type !== 'unreachable') return undefined
  const { reason, message } = silent.link.problem
  return { reason, message: `pod ${silent.name}: ${message}` }
}

/** Why pods do not come up, by their names. */
export const troublesIn = (pods: ManagedView['pods']): Problem[] => [...pods.values()].flatMap((each) => each ?? [])

/** No pod counts: there is none, or none has been given everything. */
function findNoPods(view: RuntimeView): Finding {
  const { name, pods, claimedPods, problem, managed } = view
  const runtime = `AgentRuntime "${name.name}"`
  if (managed?.replicas === 0) return findScaledToZero(runtime)
  const notUp = managed && describeNotUp(runtime, view, managed)
  if (notUp) return notReady(notUp, false, 'reconciling')
  if (problem) return findUncallable({ ...problem, message: `${runtime}: ${problem.message}` }, false)
  if (pods.length === 0 && claimedPods.length > 0) {
    const message = `an older AgentRuntime has every pod that ${runtime} selects (${listNames(claimedPods)}): select others in spec.adopt.selector, or delete one of the two`
    return notReady({ reason: 'PodsClaimed', message }, false, 'reconciling')
  }
  if (pods.length === 0 && managed === undefined) {
    const message = `${runtime} has no pods: start some with the labels of its spec.adopt.selector, or set that to the labels of pods that run`
    return notReady({ reason: 'PodsNotFound', message }, false, 'reconciling')
  }
  const silent = firstByName(pods.filter(({ isReady, link }) => isReady && link.type === 'unreachable'))
  if (silent?.link.type === 'unreachable') {
    const { reason, message } = silent.link.problem
    return notReady({ reason, message: `pod ${silent.name} of ${runtime}: ${message}` }, false, 'reconciling')
  }
  return notReady(describeNotReady(runtime, pods), false, 'reconciling')
}

function describeNotReady(runtime: string, pods: readonly PodView[]): Note {
  const first = firstByName(pods)
  if (first === undefined) return { reason: 'PodsNotReady', message: `no pod of ${runtime} has an address yet` }
  const why = first.isReady ? 'has not been given everything yet' : 'is not Ready'
  return { reason: 'PodsNotReady', message: `no pod of ${runtime} can serve yet: pod ${first.name} ${why}` }
}

function firstByName(pods: readonly PodView[]): PodView | undefined {
  let first: PodView | undefined
  for (const pod of pods) if (first === undefined || pod.name < first.name) first = pod
  return first
}
