import type { PodState, PodView, RuntimeView } from '../ports.ts'
import { isCounted, RANK, SERVED, type Standing } from './standing.ts'

/** A pod that does not serve a unit as desired, and why. */
export type Blocked = { readonly pod: string; readonly standing: Standing }

/** What the counted pods said of one unit. */
export type Tally = {
  /** Pods that are Ready and have been given everything. */
  readonly counted: number
  /** Pods that Kubernetes calls Ready, so that callers reach them, and that this operator has never had an answer from. */
  readonly silent: number
  /** Those that count and serve it as desired. */
  readonly served: number
  /** Those that count and serve some version of it. */
  readonly serving: number
  /** The revision that all of them serve; undefined where they differ, where one is silent, and without any. */
  readonly revision: string | undefined
  readonly digest: string | undefined
  /** Those that do not serve it as desired. */
  readonly blocked: readonly Blocked[]
  /** The one of them that says most about what is in the way. */
  readonly worst: Blocked | undefined
}

/** What serves of a unit in a pod. */
export type Active = { readonly revision?: string | undefined; readonly digest?: string | undefined }

/** How many pods there are, also those that have no address yet. */
export const podCount = ({ pods, managed }: RuntimeView): number => managed?.pods.size ?? pods.length

/** Counts one unit over all pods, without an allocation per pod that serves it as desired. */
export function tally(
  pods: readonly PodView[],
  activeIn: (state: PodState) => Active | undefined,
  standingIn: (state: PodState) => Standing,
): Tally {
  let counted = 0
  let silent = 0
  let serving = 0
  let revision: string | undefined
  let digest: string | undefined
  let worst: Blocked | undefined
  const blocked: Blocked[] = []
  const block = (entry: Blocked): void => {
    blocked.push(entry)
    if (worst === undefined || isWorse(entry, worst)) worst = entry
  }
  for (const pod of pods) {
    if (isSilent(pod)) {
      silent++
      block({ pod: pod.name, standing: { type: 'unreachable', problem: pod.link.problem } })
    }
    if (!isCounted(pod)) continue
    const active = activeIn(pod.state)
    if (active?.revision !== undefined) serving++
    revision = agree(counted, revision, active?.revision)
    digest = agree(counted, digest, active?.digest)
    counted++
    const standing = standingOfPod(pod, standingIn)
    if (standing !== SERVED) block({ pod: pod.name, standing })
  }
  const agreed = silent === 0 ? { revision, digest } : { revision: undefined, digest: undefined }
  return { counted, silent, served: counted + silent - blocked.length, serving, ...agreed, blocked, worst }
}

type Unreachable = Extract<PodView['link'], { type: 'unreachable' }>

const isSilent = (pod: PodView): pod is PodView & { readonly link: Unreachable } =>
  pod.isReady && pod.state === undefined && pod.link.type === 'unreachable'

/** What `counted` pods and one more agree on. */
const agree = (counted: number, all: string | undefined, one: string | undefined): string | undefined =>
  counted === 0 || all === one ? one : undefined

/** A pod that does not answer keeps what it acknowledged last. */
function standingOfPod(
  { state, link }: PodView & { readonly state: PodState },
  standingIn: (state: PodState) => Standing,
): Standing {
  const standing = standingIn(state)
  return standing.type === 'syncing' && link.type === 'unreachable'
    ? { type: 'unreachable', problem: link.problem }
    : standing
}

/** Of two alike the first by name, so that the order of the pods changes nothing. */
function isWorse(a: Blocked, b: Blocked): boolean {
  const difference = RANK[a.standing.type] - RANK[b.standing.type]
  return difference > 0 || (difference === 0 && a.pod < b.pod)
}
